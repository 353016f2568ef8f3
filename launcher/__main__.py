"""`python -m launcher`: what ./launch.sh hands over to."""

from launcher.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
