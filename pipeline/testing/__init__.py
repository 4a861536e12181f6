"""Contract tests for components of your own: subclass one, and give it a fixture that makes your component. Needs pytest.

class TestTries(pipeline.ObserverContract):
    @pytest.fixture
    def observer(self):
        return Tries()

There is one for each port of which a component may be yours: `observers`, `sources`, `stores` and `senders`. headrace's own components
pass the same tests.
"""
