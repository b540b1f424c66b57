"""The program as a user runs it. `test_program.py DESKHAND SOURCE_DIR [CASE ...]`, a case being a class or Class.method.

Models come from DESKHAND_MODELS (or the default folder); tests that need one say so and are skipped where it is not there, as are those on public data.
"""
import sys
import unittest

from cases_audit import Audit
from cases_evaluation import Evaluation
from cases_help import Doctor, Errors, Help
from cases_import import Import
from cases_pipeline import Pipeline, PublicData
from cases_privacy import Privacy
from cases_training import Training

if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]])
