"""The simulator's settings: those of every service, and what it takes in."""

from pathlib import Path

from pydantic import Field, field_validator

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """What a file that is brought may be."""

    port: int = 5004
    """Port the service listens on."""

    database_user: str = "cellar_simulator"
    """Role this service connects as; it owns the dataset database."""

    max_upload_bytes: int = Field(default=4 * 1024**3, ge=1024)
    """Largest file that can be brought as a dataset, in bytes, packed and unpacked; more is
    refused."""

    upload_folder: str = ""
    """Folder in which files are kept while they are read or sent, some three times the largest;
    empty: the system's own for temporary files."""

    @field_validator("upload_folder")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value and not Path(value).is_dir():
            raise ValueError("is no folder")
        return value

    @property
    def upload_path(self) -> Path | None:
        """The folder, None for the system's own."""
        return Path(self.upload_folder) if self.upload_folder else None
