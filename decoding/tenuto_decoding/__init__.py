"""Budget forcing for reasoning models: the budget, the markers, the automaton, and adapters to the engines.

Importing this package needs no engine. The adapters are modules of their own: `vllm_v1` for vLLM's V1 model runner
(CPUs), `vllm_v2` for its V2 model runner (GPUs; the device code is in `gpu`), `huggingface` for `transformers`'
`generate()`. `worker` is the extension of vLLM's workers through which a server reads reports and steers.
"""

from .actions import Action, Force, Free, Redirect
from .automaton import EndedBy, ThinkingAutomaton
from .budget import FIELDS, Scope, ThinkingBudget
from .detection import Detection, detect, detect_markers, resolve_markers
from .errors import InvalidBudget, ThinkingError, UnknownMarkers, UnsupportedEngine
from .families import FAMILIES
from .markers import ThinkingMarkers
from .matching import MarkerTable, Pattern
from .plan import Marker, ThinkingPlan, compile_plan
from .prompt import Phase, initial_phase
from .vocabulary import Vocabulary

__all__ = [
    "FAMILIES",
    "FIELDS",
    "Action",
    "Detection",
    "EndedBy",
    "Force",
    "Free",
    "InvalidBudget",
    "Marker",
    "MarkerTable",
    "Pattern",
    "Phase",
    "Redirect",
    "Scope",
    "ThinkingAutomaton",
    "ThinkingBudget",
    "ThinkingError",
    "ThinkingMarkers",
    "ThinkingPlan",
    "UnknownMarkers",
    "UnsupportedEngine",
    "Vocabulary",
    "compile_plan",
    "detect",
    "detect_markers",
    "initial_phase",
    "resolve_markers",
]
