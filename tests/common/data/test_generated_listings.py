"""Generated rows, prepared as those of a table."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from common.data import ingest, prepared


class TestGenerated:
    def rows(self, market, count=9):
        for i in range(count):
            split = ("train", "validation", "test")[i % 3]
            columns = {"id": f"n{i}", "photo": "p", "kind": "a", "carat": i / 3}
            columns |= {"price": 1 + i, "title": "t", "split": split}
            yield columns, [market.jpeg(i)] * (i % 3)

    def prepare(self, market, rows, fingerprint="f" * 64, **options):
        schema = dataclasses.replace(market.schema, split="split")
        market.said.clear()
        return ingest.prepare_generated(
            "rings", market.cache, schema, rows, fingerprint, **options
        )

    def test_rows_stream_into_the_same_format(self, market):
        listings = self.prepare(
            market, self.rows(market), total=9, say=market.said.append
        )
        assert listings.directory.name == "rings-" + "f" * 16
        np.testing.assert_array_equal(listings.frame["carat"], np.arange(9) / 3)
        np.testing.assert_array_equal(listings.indices("validation"), [1, 4, 7])
        for i in range(9):
            images = [market.jpeg(i)] * (i % 3)
            assert listings.source[i] == {"row": i, "images": images}
        again = prepared.load_prepared(listings.directory)
        pd.testing.assert_frame_equal(again.frame, listings.frame)

    def test_nothing_is_drawn_a_second_time(self, market):
        self.prepare(market, self.rows(market))

        def fail():
            raise AssertionError
            yield

        assert len(self.prepare(market, fail()).frame) == 9
        other = self.prepare(market, self.rows(market, 6), fingerprint="e" * 64)
        assert len(other.frame) == 6

    def test_rows_are_held_one_at_a_time(self, market):
        peak = 0
        alive = set()

        class Photo(bytes):
            def __del__(self):
                alive.discard(id(self))

        def rows():
            nonlocal peak
            for columns, _ in self.rows(market, 3000):
                photo = Photo(b"x" * 10)
                alive.add(id(photo))
                peak = max(peak, len(alive))
                yield columns, [photo]

        assert len(self.prepare(market, rows()).frame) == 3000
        assert peak < 600

    def test_rows_that_do_not_fit_leave_nothing_behind(self, market):
        def rows():
            for columns, images in self.rows(market):
                yield columns | {"price": -1}, images

        with pytest.raises(ValueError, match="don't fit the schema"):
            self.prepare(market, rows())
        with pytest.raises(ValueError, match='a column "split"'):
            ingest.prepare_generated("x", market.cache, market.schema, rows(), "f")
        assert [path.suffix for path in market.cache.iterdir()] == [".lock"]
