"""What a URL names, and what is refused rather than taken for something else."""

import pytest

from durable_ast import SQLiteStore, open_store


@pytest.mark.parametrize("url", ["sqlite:///orders.db?mode=ro", "sqlite:////tmp/orders.db?synchronous=NORMAL"])
@pytest.mark.parametrize("opened", [open_store, SQLiteStore])
def test_options_in_a_url_are_not_taken_for_a_part_of_a_files_name(opened, url):
    with pytest.raises(ValueError, match="options"):
        opened(url)


def test_a_path_may_have_any_characters(tmp_path):
    assert open_store(tmp_path / "orders?.db").path.endswith("orders?.db")


def test_redis_is_reached_by_a_socket():
    pytest.importorskip("redis")
    from durable_ast.stores.redis import RedisStore

    assert isinstance(open_store("unix:///run/redis.sock"), RedisStore)
