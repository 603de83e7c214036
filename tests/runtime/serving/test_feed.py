"""The page costs the pipeline nothing while nobody looks, and one picture for all who do."""

import threading

import cv2
import numpy as np
import pytest

from edgetl_runtime.answers import Event
from edgetl_runtime.errors import OutputError
from edgetl_runtime.serving.feed import ANSWERS_PER_S, HISTORY_S, PageFeed, encode_picture

TIME = "2026-05-28T20:26:40.250Z"


@pytest.fixture
def feed() -> PageFeed:
    return PageFeed(page_fps=1000.0)


def test_nobody_watches_so_no_picture_is_wanted(page):
    assert not page.output.wants_picture()
    assert [page.publish() for _ in range(10)] == [False] * 10
    with page.output.watched():
        assert page.output.wants_picture()
    assert not page.output.wants_picture()


def test_pictures_are_wanted_as_often_as_the_settings_say(serve):
    page = serve(page_fps=0.01)
    with page.output.watched():
        assert [page.publish() for _ in range(5)] == [True, False, False, False, False]


def test_a_picture_that_another_output_wanted_is_not_encoded(page):
    page.publish(picture=np.zeros((10, 10, 3), np.uint8))
    assert page.output.picture(1e9) is None


def test_most_answers_of_a_fast_source_are_not_even_queued(page):
    taken = [page.output.accepts(page.answer()) for _ in range(3)]
    page.output.write(page.answer())
    assert taken == [True] * 3
    assert not page.output.accepts(page.answer())


def test_an_event_is_always_accepted(page):
    page.output.write(page.answer())
    assert page.output.accepts(page.answer(event=Event(1, "gear", None, 0.9, TIME)))


def test_what_is_kept_is_bounded(page):
    for number in range(3 * ANSWERS_PER_S * HISTORY_S):
        page.output.write(page.answer(event=Event(number + 1, "gear", None, 0.9, TIME)))
    assert len(page.output.history()) == ANSWERS_PER_S * HISTORY_S
    assert [event.number for event in page.output.events_after(0)] == list(range(1751, 1801))


def test_the_newest_answer_keeps_no_picture_alive(page):
    with page.output.watched():
        page.publish()
    assert not hasattr(page.output.answer("ok"), "picture")


def test_an_old_picture_is_not_handed_out(page):
    with page.output.watched():
        page.publish()
    assert page.output.picture(60.0) is not None
    assert page.output.picture(0.0) is None


def test_an_answer_that_comes_again_is_one_point_of_the_chart(page):
    answer = page.answer()
    page.output.write(answer)
    page.output.write(answer)
    assert len(page.output.history()) == 1


@pytest.mark.parametrize(("size", "shown"), [((100, 80), (100, 80)), ((1920, 1080), (960, 540))])
def test_a_large_picture_is_made_smaller(size, shown):
    jpeg = encode_picture(np.zeros((size[1], size[0], 3), np.uint8))
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape[1::-1] == shown


def test_the_picture_that_was_handed_in_stays_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    before = picture.copy()
    encode_picture(picture)
    assert (picture == before).all()


def test_what_cannot_be_encoded_is_an_output_error():
    with pytest.raises(OutputError):
        encode_picture(np.zeros((4, 4, 7), np.uint8))


def test_viewers_are_counted_right_from_many_threads(feed):
    def watch() -> None:
        for _ in range(300):
            with feed.watched():
                pass

    threads = [threading.Thread(target=watch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert feed.watching == 0
