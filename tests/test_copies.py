from lit_video.copies import Copied, count


class Event:
    def __init__(self, name, nbytes=0):
        self._name, self._nbytes = name, nbytes

    def name(self):
        return self._name

    def nbytes(self):
        return self._nbytes


def test_counts_what_crosses_and_nothing_else():
    events = [
        Event("Memcpy HtoD (Pinned -> Device)", 100),
        Event("Memcpy HtoD (Pageable -> Device)", 20),
        Event("Memcpy DtoH (Device -> Pinned)", 3),
        Event("Memcpy DtoD (Device -> Device)", 5000),
        Event("Memset (Device)", 7000),
        Event("void at::native::vectorized_elementwise_kernel"),
    ]
    assert count(events) == Copied(120, 3)


def test_the_profilers_events_have_what_is_asked_of_them():
    from torch._C._autograd import _KinetoEvent

    assert callable(_KinetoEvent.name)
    assert callable(_KinetoEvent.nbytes)
