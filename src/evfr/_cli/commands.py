"""Which verb each command is, and which commands choose a method from a family's dict."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["COMMANDS", "METHODS", "MethodFamily"]

COMMANDS = {
    "inspect": "evfr.verbs.inspect:inspect",
    "score": "evfr.verbs.score:score",
    "embed": "evfr.verbs.embed:embed",
    "select": "evfr.verbs.select:select",
    "extract": "evfr.verbs.extract:extract",
    "propagate": "evfr.verbs.propagate:propagate",
    "propose": "evfr.verbs.propose:propose",
    "reduce": "evfr.verbs.reduce:reduce",
    "evaluate": "evfr.verbs.evaluate:evaluate",
    "overlay": "evfr.verbs.overlay:overlay",
    "train": "evfr.verbs.train:train",
    "split": "evfr.verbs.split:split",
    "experiment": "evfr.experiments.experiment:experiment",
    "advise": "evfr.experiments.advise:advise",
    "synth": "evfr.verbs.synth:synth",
    "search": "evfr.verbs.search:search",
    "dedup": "evfr.verbs.dedup:dedup",
    "compact": "evfr.verbs.compact:compact",
    "verify": "evfr.verbs.verify:verify",
    "plot": "evfr.verbs.plot:plot",
    "doctor": "evfr.verbs.doctor:doctor",
    "demo": "evfr.verbs.demo:demo",
}


@dataclass(frozen=True, slots=True)
class MethodFamily:
    """Say which parameter of a verb names a method, and where the methods are.

    Attributes
    ----------
    parameter : str
        The verb's parameter that takes the name.
    options : str
        The verb's parameter that takes the method's own options as a mapping.
    methods : str
        ``module:dict`` of the methods by name.
    supplied : tuple of str
        Keywords of a method that the verb fills in itself.
    is_argument : bool
        Whether the name is an argument (``evfr train covos``) instead of an option (``--method farthest``).
    """

    parameter: str
    options: str
    methods: str
    supplied: tuple[str, ...]
    is_argument: bool = False

    def words(self, method: str) -> str:
        """Return how a command line names a method."""
        return method if self.is_argument else f"--{self.parameter} {method}"


CARRY = MethodFamily(
    "method", "method_options", "evfr.verbs._carry_method:METHODS", ("interval", "steps", "stream", "cost")
)
METHODS = {
    "select": MethodFamily(
        "method",
        "method_options",
        "evfr.sampling:SAMPLERS",
        ("weights", "embeddings", "n", "seed", "stride", "cuts", "times", "initial", "usable", "accept"),
    ),
    "propagate": CARRY,
    "propose": replace(
        CARRY, methods="evfr.verbs._propose_method:METHODS", supplied=(*CARRY.supplied, "open_session")
    ),
    "train": MethodFamily(
        "model", "model_options", "evfr.verbs.train:TRAINERS", ("clips", "recipe", "out"), is_argument=True
    ),
    "experiment": MethodFamily(
        "action",
        "action_options",
        "evfr.experiments.experiment:ACTIONS",
        ("folder", "videos"),
        is_argument=True,
    ),
}
