"""The nodes by their names, and which of them a run is to run."""

import dataclasses

from tfxray.components.common.errors import UserError

# All nodes of the graph, in its order; a test compares them with those of create_pipeline.
# Some are there only if the config asks for what they do.
NODES = (
    "ExampleGen", "CuratedSchema", "StatisticsGen", "SchemaGen", "ExampleValidator",
    "BaselineStatistics", "DistributionValidator", "DataGate", "Transform", "Trainer",
    "ExternalTest", "BaselineModel", "Evaluator", "Pusher",
)  # fmt: skip

ON_DEMAND = {"ExternalTest": "evaluate.external"}  # the node, and the key that asks for it


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the graph.

    Attributes:
        start: The first node that is run; the outputs of those before it come from earlier runs.
            None begins at the beginning.
        end: The node after which the run ends; None runs to the end.
    """

    start: str | None = None
    end: str | None = None

    def __bool__(self) -> bool:
        """Whether it is less than the whole."""
        return bool(self.start or self.end)

    def __str__(self) -> str:
        """As on the command line."""
        options = (("--from", self.start), ("--to", self.end))
        return " ".join(f"{option} {node}" for option, node in options if node)

    def check(self) -> None:
        """Sees that the end does not come before the start.

        Raises:
            UserError: It does.
        """
        if self.start and self.end and NODES.index(self.start) > NODES.index(self.end):
            raise self.empty()

    def empty(self) -> UserError:
        """What is told when nothing would run."""
        return UserError(f"{self}: {self.end} does not depend on {self.start}; nothing would run")

    def nothing_from(self, what: str) -> UserError:
        """What is told when a run cannot take what comes before its start.

        Args:
            what: A node, or what else it would have to run.
        """
        return UserError(
            f"{self}: {what} would have to run: with these data and settings it has not come to "
            "its end in an earlier run of this --out, or what it left was removed. Run without "
            "--from: what has not changed comes from the cache"
        )

    @property
    def trains(self) -> bool:
        """Whether Trainer may run."""
        first, last = NODES.index(self.start or NODES[0]), NODES.index(self.end or NODES[-1])
        return "Trainer" in NODES[first : last + 1]


WHOLE = Part()
