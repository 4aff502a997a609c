"""Python client of a Tenuto server: chat with a reasoning model and set a budget for its thinking.

with tenuto.Client() as client:
    reply = client.chat("What is 17 + 25?", max_thinking_tokens=64, num_waits=1)
    print(reply.content, reply.thinking)
"""

from tenuto._version import __version__
from tenuto.client import AsyncClient, Client
from tenuto.errors import (
    APIError,
    BadRequest,
    BudgetIgnored,
    ConnectionFailed,
    InvalidReply,
    NotFound,
    Overloaded,
    ServerError,
    StreamError,
    TenutoError,
    Unauthorized,
)
from tenuto.flows import Retries
from tenuto.replies import (
    Choice,
    ChoiceFinished,
    ContentDelta,
    Event,
    Model,
    ReasoningDelta,
    Reply,
    Started,
    SteeredChoice,
    Steering,
    TextForced,
    ThinkingReport,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from tenuto.sweeps import SweepPoint

__all__ = [
    "APIError",
    "AsyncClient",
    "BadRequest",
    "BudgetIgnored",
    "Choice",
    "ChoiceFinished",
    "Client",
    "ConnectionFailed",
    "ContentDelta",
    "Event",
    "InvalidReply",
    "Model",
    "NotFound",
    "Overloaded",
    "ReasoningDelta",
    "Reply",
    "Retries",
    "ServerError",
    "Started",
    "SteeredChoice",
    "Steering",
    "StreamError",
    "SweepPoint",
    "TenutoError",
    "TextForced",
    "ThinkingReport",
    "ToolCall",
    "ToolCallDelta",
    "Unauthorized",
    "Usage",
    "UsageReported",
    "__version__",
]
