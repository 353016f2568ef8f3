"""Make the bucket of the artifacts unless it is there: `python -m tracking.make_bucket`.

A program of its own, run once: the MLflow server itself only reads and writes in a bucket, and in
most places it may not do more.
"""

import logging
import time
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from servicekit.settings import SettingsError
from servicekit.telemetry import configure_logging
from tracking.settings import Settings

PATIENCE_S = 120.0
THERE = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})

log = logging.getLogger("tracking.make_bucket")


def make_bucket(settings: Settings, patience_s: float = PATIENCE_S) -> bool:
    """Make the bucket; return False when it was there.

    Raises
    ------
    SystemExit
        The artifacts are not in a bucket, the server refuses, or does not answer within
        `patience_s`; the text says which, and holds no secret.
    """
    target = urlsplit(settings.mlflow_artifacts)
    if target.scheme != "s3":
        raise SystemExit("make_bucket: CELLAR_MLFLOW_ARTIFACTS is no s3:// address")
    client = boto3.client(
        "s3",
        aws_access_key_id=settings.s3_access_key_id or None,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value() or None,
        endpoint_url=settings.s3_endpoint_url or None,
        region_name=settings.s3_region,
        config=Config(
            connect_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
        ),
    )
    # Amazon's first region must not be named as the place of a bucket, every other one must.
    place = {} if settings.s3_region == "us-east-1" else {"LocationConstraint": settings.s3_region}
    deadline = time.monotonic() + patience_s
    while True:
        try:
            client.create_bucket(
                Bucket=target.netloc, **({"CreateBucketConfiguration": place} if place else {})
            )
            return True
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in THERE:
                return False
            raise SystemExit(f"make_bucket: the S3 server refuses: {code}") from None
        except BotoCoreError as error:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"make_bucket: no S3 server answers ({type(error).__name__})"
                ) from None
            log.info("Waiting for the S3 server")
            time.sleep(1)


def main() -> None:
    """Make it; a wrong setting ends with one line that names it."""
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise SystemExit(f"make_bucket: {error}") from None
    configure_logging(settings.log_level, settings.log_format)
    made = make_bucket(settings)
    bucket = urlsplit(settings.mlflow_artifacts).netloc
    log.info("The bucket %s %s", bucket, "is made" if made else "was there")


if __name__ == "__main__":
    main()
