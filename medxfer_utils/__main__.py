"""`python -m medxfer_utils`: see `setup_check`."""

from medxfer_utils.setup_check import main

if __name__ == "__main__":
    raise SystemExit(main())
