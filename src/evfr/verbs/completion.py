"""`evfr completion`: the script by which a shell completes command lines of evfr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["CompletionScript", "completion"]

BASH = r"""# bash completion of evfr: commands, their options, words that an option knows, else files.
_evfr_completion() {
    local IFS=$'\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _EVFR_COMPLETE=complete_bash "$1" 2>/dev/null))
}
complete -o default -o bashdefault -F _evfr_completion evfr
"""
ZSH = r"""#compdef evfr
# zsh completion of evfr: commands, their options, words that an option knows, else files.
_evfr_completion() {
    eval "$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _EVFR_COMPLETE=complete_zsh "${words[1]}" 2>/dev/null)"
}
if [ "$funcstack[1]" = _evfr ]; then
    _evfr_completion "$@"
else
    compdef _evfr_completion evfr
fi
"""
FISH = r"""# fish completion of evfr: commands, their options, words that an option knows, else files.
function __evfr_complete
    set -lx _EVFR_COMPLETE complete_fish
    set -lx _TYPER_COMPLETE_FISH_ACTION $argv[1]
    set -lx _TYPER_COMPLETE_ARGS (commandline -cp)
    evfr 2>/dev/null
end
complete --command evfr --no-files --condition '__evfr_complete is-args' --arguments '(__evfr_complete get-args)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
INSTALL = {
    "bash": "echo 'eval \"$(evfr completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'autoload -Uz compinit && compinit && eval \"$(evfr completion zsh)\"' >> ~/.zshrc",
    "fish": "evfr completion fish > ~/.config/fish/completions/evfr.fish",
}
"""The line that installs each script for a user, for good."""


@dataclass(frozen=True, slots=True)
class CompletionScript:
    """Hold the script for one shell.

    Attributes
    ----------
    shell : str
        Which shell reads it.
    script : str
        To be read by that shell when it starts.
    """

    shell: str
    script: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict with ``shell``, ``script`` and the line ``install``."""
        return {"shell": self.shell, "script": self.script, "install": INSTALL[self.shell]}

    def __str__(self) -> str:
        return self.script


def completion(shell: Literal["bash", "zsh", "fish"]) -> CompletionScript:
    """Print the script by which a shell completes evfr's commands, options, methods and files.

    Put ``eval "$(evfr completion bash)"`` into ~/.bashrc, the same with zsh into ~/.zshrc, or save the script for
    fish as ~/.config/fish/completions/evfr.fish.

    Parameters
    ----------
    shell : {"bash", "zsh", "fish"}
        For which shell.

    Returns
    -------
    CompletionScript
        The script.

    Raises
    ------
    ValueError
        If there is no script for the shell.

    Examples
    --------
    >>> completion("bash").script.startswith("# bash completion of evfr")
    True
    """
    if shell not in SCRIPTS:
        raise ValueError(f"shell must be one of {', '.join(SCRIPTS)}, got {shell!r}")
    return CompletionScript(shell, SCRIPTS[shell])
