"""`python -m medxfer_utils`: see `doctor`."""

from medxfer_utils.doctor import main

if __name__ == "__main__":
    raise SystemExit(main())
