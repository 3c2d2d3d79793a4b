import os
import signal
import threading

from common.training.interruption import EXIT_CODE, Interruption


def test_sigterm_is_noted_and_the_handler_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        assert not interruption.requested()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested()
    assert signal.getsignal(signal.SIGTERM) is before
    assert EXIT_CODE == 143


def test_another_thread_leaves_the_handler_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with Interruption() as interruption:
            seen.append(signal.getsignal(signal.SIGTERM))
            seen.append(interruption.requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]
