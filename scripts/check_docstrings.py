"""Check every public docstring with numpydoc; print what is wrong and exit 1 if anything is."""

from __future__ import annotations

import dataclasses
import inspect
import sys

from numpydoc.validate import validate
from public_names import public_methods, public_names

ALWAYS = {"GL05", "GL06", "GL07", "GL08", "GL10", "SS02", "SS03", "SS04", "PR02", "PR10", "YD01"}
FUNCTION = {"SS05", "PR01", "PR03", "PR04", "PR07", "RT01", "RT03"}


def problems_of(address: str, codes: set[str]) -> list[str]:
    """Return numpydoc's findings of the given codes for one dotted name."""
    found = validate(address)
    if "Yields" in found["docstring"]:
        codes = codes - {"RT01"}
    return [f"{address}: {code} {text}" for code, text in found["errors"] if code in codes]


def main() -> None:
    """Check all public names."""
    found: list[str] = []
    count = 0
    for module, name, value in public_names():
        address = f"{module}.{name}"
        if inspect.isfunction(value):
            count += 1
            found += problems_of(address, ALWAYS | FUNCTION)
        elif inspect.isclass(value):
            count += 1
            found += problems_of(address, ALWAYS - {"PR02"})
            if dataclasses.is_dataclass(value):
                text = value.__doc__ or ""
                fields = (field.name for field in dataclasses.fields(value) if not field.name.startswith("_"))
                found += [f"{address}: attribute {f} is not documented" for f in fields if f not in text]
            for method, member in public_methods(value):
                count += 1
                has_sections = "----" in (inspect.getdoc(member) or "")
                codes = (
                    ALWAYS | FUNCTION if has_sections and inspect.isfunction(member) else ALWAYS - {"PR02"}
                )
                found += problems_of(f"{address}.{method}", codes)
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{count} public docstrings, {len(found)} problems")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
