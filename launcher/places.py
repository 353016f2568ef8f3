"""Where everything of one checkout lies on disk."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

# sockaddr_un holds 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True)
class Places:
    """The folders of one suite; a second suite beside the first has another `state`."""

    state: Path
    env_file: Path

    @classmethod
    def of(cls, state: str | None) -> "Places":
        """Return the usual places, or those of a second suite that keeps all in `state`."""
        if state is None:
            return cls(ROOT / ".cellar", ROOT / ".env")
        folder = Path(state).resolve()
        return cls(folder, folder / ".env")

    @property
    def venv(self) -> Path:
        """The Python environment, shared by every suite of this checkout."""
        return ROOT / ".cellar" / "venv"

    @property
    def postgres_data(self) -> Path:
        """Data folder of the embedded PostgreSQL."""
        return self.state / "postgres"

    @property
    def artifacts(self) -> Path:
        """Models and files that the MLflow server keeps."""
        return self.state / "artifacts"

    @property
    def logs(self) -> Path:
        """One file for each program."""
        return self.state / "logs"

    @property
    def run(self) -> Path:
        """What is of no use once the suite is down."""
        return self.state / "run"

    @property
    def demo(self) -> Path:
        """What the demonstration leaves to look at."""
        return self.state / "demo"

    @property
    def supervisor_socket(self) -> Path:
        """Where the supervisor is spoken to; in the temporary folder when the path is too long."""
        usual = self.run / "supervisor.sock"
        if len(os.fsencode(usual)) <= LONGEST_SOCKET_PATH:
            return usual
        digest = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"cellar-{os.getuid()}-{digest}.sock"
