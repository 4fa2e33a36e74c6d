"""One module of CPython's own test-suite, its verdicts written as they come.

usage: one_module.py MODULE VERDICTS [ID...]

The ids are of tests to leave out. Each line of VERDICTS is "begin ID" or a verdict and the ID, so
that a test that ends or hangs the interpreter is known.
"""
import os
import sys
import tempfile
import unittest

from test import support


class Result(unittest.TestResult):
    def __init__(self, path):
        super().__init__()
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.pid = os.getpid()

    def say(self, verdict, test):
        if os.getpid() == self.pid:  # not a forked child that unwound as far as here
            os.write(self.fd, f"{verdict} {test.id()}\n".encode())

    def startTest(self, test):
        super().startTest(test)
        self.failed = False
        self.say("begin", test)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        self.failed = self.failed or error is not None

    def stopTest(self, test):
        super().stopTest(test)
        if self.failed:
            self.say("FAIL", test)

    def addSuccess(self, test):
        self.say("ok", test)

    def addExpectedFailure(self, test, error):
        self.say("ok", test)

    def addUnexpectedSuccess(self, test):
        self.say("FAIL", test)

    def addSkip(self, test, reason):
        self.say("skip", test)

    def bad(self, test, error):
        self.say("FAIL", test)
        print(self._exc_info_to_string(error, test), file=sys.stderr, flush=True)

    addFailure = addError = bad


def without(suite, left_out):
    """The suite without some of its tests; classes and modules keep their fixtures."""
    kept = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            kept.addTest(without(test, left_out))
        elif test.id() not in left_out:
            kept.addTest(test)
    return kept


def main():
    module, path, left_out = sys.argv[1], sys.argv[2], set(sys.argv[3:])
    sys.argv[1:] = []
    support.verbose = False
    support.use_resources = ["network", "subprocess"]
    tempfile.tempdir = os.getcwd()
    suite = unittest.defaultTestLoader.loadTestsFromName(module)
    without(suite, left_out).run(Result(path))


if __name__ == "__main__":  # a child that multiprocessing spawns loads this file, too
    main()
