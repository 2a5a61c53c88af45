"""Which verb each command is, and which commands choose a method from a family's dict."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["COMMANDS", "JOBS", "METHODS", "MethodFamily"]

JOBS: dict[str, dict[str, str]] = {
    "Choose frames": {
        "inspect": "evfr.verbs.inspect:inspect",
        "score": "evfr.verbs.score:score",
        "embed": "evfr.verbs.embed:embed",
        "select": "evfr.verbs.select:select",
        "extract": "evfr.verbs.extract:extract",
        "search": "evfr.verbs.search:search",
        "dedup": "evfr.verbs.dedup:dedup",
        "plot": "evfr.verbs.plot:plot",
        "view": "evfr.verbs.view:view",
    },
    "Label them": {
        "propose": "evfr.verbs.propose:propose",
        "export": "evfr.verbs.export:export",
        "import": "evfr.verbs.import_:import_",
    },
    "Carry labels": {
        "propagate": "evfr.verbs.propagate:propagate",
        "overlay": "evfr.verbs.overlay:overlay",
    },
    "Reduce sequences": {
        "reduce": "evfr.verbs.reduce:reduce",
    },
    "Prove what the data is worth": {
        "split": "evfr.verbs.split:split",
        "train": "evfr.verbs.train:train",
        "evaluate": "evfr.verbs.evaluate:evaluate",
        "experiment": "evfr.experiments.experiment:experiment",
        "advise": "evfr.experiments.advise:advise",
        "synth": "evfr.verbs.synth:synth",
    },
    "Look after stores and the installation": {
        "compact": "evfr.verbs.compact:compact",
        "verify": "evfr.verbs.verify:verify",
        "doctor": "evfr.verbs.doctor:doctor",
        "completion": "evfr.verbs.completion:completion",
        "demo": "evfr.verbs.demo:demo",
    },
}
"""The jobs that commands are for, in the order of ``evfr --help``; each command with its ``module:function``."""

COMMANDS = {name: address for commands in JOBS.values() for name, address in commands.items()}


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
