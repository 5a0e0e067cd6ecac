"""`python -m medxfer_utils`: see `setup_check`."""

from medxfer_utils.doctor.report import main

if __name__ == "__main__":
    raise SystemExit(main())
