"""A dump of the whole database before a migration: what an author asks for, and what is planned."""

from dataclasses import dataclass

from pydantic import Field

from whimbrel.model.bounds import Frozen, ImageName, ObjectName


class DumpOptions(Frozen):
    """`pg_dump` of the whole database before the first step, kept for keepFor."""

    image: ImageName = Field(
        description="Image with pg_dump, pg_restore and psql, of the server's version: it runs "
        "beside the migration, unchanged."
    )
    claim_name: ObjectName = Field(
        description="PersistentVolumeClaim of this namespace that the dump is written to."
    )


@dataclass(frozen=True)
class PlannedDump:
    """The dump that comes before the first step of a plan.

    Attributes:
        options: Image and claim.
        is_way_back: The rollback of this run restores it; else it is a backup and no more.
        freezes: Writes of applications are refused from before it to the end of the run.
    """

    options: DumpOptions
    is_way_back: bool = False
    freezes: bool = False

    def __str__(self) -> str:
        """Return what an approval covers and a person reads."""
        frozen = ", while applications cannot write," if self.freezes else ""
        use = "the way back of this run" if self.is_way_back else "a backup"
        return (
            f"the whole database{frozen} by {self.options.image} to the claim "
            f"{self.options.claim_name}, as {use}"
        )
