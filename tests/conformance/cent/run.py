"""Runs the tests and ends with the lines that the summary of all suites counts."""

import sys
import unittest
import warnings

if __name__ == "__main__":
    # A test sends what the client's types do not allow.
    sys.warnoptions.append("ignore::UserWarning:pydantic.main")
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings")
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or ["test_cent"])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"# pass {result.testsRun - failed - len(result.skipped)}")
    print(f"# fail {failed}")
    print(f"# skipped {len(result.skipped)}")
    sys.exit(failed > 0)
