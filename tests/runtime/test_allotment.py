import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgetl_runtime.system.allotment import (
    MAX_DEFAULT_THREADS,
    count_allowed,
    count_processors,
    default_threads,
    read_cpu_quota,
    read_memory_limit,
)
from edgetl_runtime.system.board import describe_board

NEW = "29 23 0:26 {top} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
OLD = "32 31 0:29 {top} /sys/fs/cgroup/{name} rw,relatime - cgroup cgroup rw,{name}\n"
HOLD = "import sys; sys.stdin.readline(); import os; os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture
def system(tmp_path):
    """Writes files of another system; returns where it begins."""

    def write(group: str, mounts: str, files: dict[str, str]) -> Path:
        files = {"proc/self/cgroup": group, "proc/self/mountinfo": mounts, **files}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def new_system(system, files, group="/system.slice/edgetl-door.service", top="/"):
    folder = "sys/fs/cgroup/"
    return system(
        f"0::{group}\n", NEW.format(top=top), {folder + name: one for name, one in files.items()}
    )


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"system.slice/edgetl-door.service/cpu.max": "50000 100000\n"}, 0.5),
        ({"system.slice/cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "20000 10000\n"}, 2.0),
        (
            {
                "system.slice/cpu.max": "100000 100000\n",
                "system.slice/edgetl-door.service/cpu.max": "400000 100000\n",
            },
            1.0,
        ),
        ({"system.slice/edgetl-door.service/cpu.max": "max 100000\n"}, None),
        ({"user.slice/cpu.max": "50000 100000\n"}, None),
        ({"cpu.max": "odd\n"}, None),
        ({"cpu.max": ""}, None),
        ({}, None),
    ],
)
def test_the_quota_of_version_2_is_the_least_of_the_group_and_its_parents(files, quota, system):
    assert read_cpu_quota(new_system(system, files)) == quota


@pytest.mark.parametrize(
    ("group", "top"),
    [("/", "/"), ("/../../other", "/"), ("/docker/a1", "/docker/a1"), ("/x", "/y")],
)
def test_a_container_sees_its_own_group_at_the_top(group, top, system):
    root = new_system(system, {"cpu.max": "25000 100000", "memory.max": "268435456"}, group, top)
    assert (read_cpu_quota(root), read_memory_limit(root)) == (0.25, 2**28)


@pytest.mark.parametrize(
    ("quota_us", "quota"), [("50000", 0.5), ("-1", None), ("100000", 1.0), ("0", None)]
)
def test_the_quota_of_version_1_is_in_two_files(quota_us, quota, system):
    root = system(
        "5:memory:/a/b\n4:cpu,cpuacct:/a/b\n0::/\n",
        OLD.format(top="/", name="cpu,cpuacct") + OLD.format(top="/", name="memory"),
        {
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": f"{quota_us}\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "536870912\n",
        },
    )
    assert (read_cpu_quota(root), read_memory_limit(root)) == (quota, 2**29)


def test_another_controllers_group_is_not_taken(system):
    root = system(
        "4:cpu:/a\n3:cpuset:/b\n",
        OLD.format(top="/", name="cpu") + OLD.format(top="/", name="cpuset"),
        {
            "sys/fs/cgroup/cpuset/b/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpuset/b/cpu.cfs_period_us": "100000\n",
        },
    )
    assert read_cpu_quota(root) is None


@pytest.mark.parametrize(("quota_us", "most"), [(50_000, 1), (100_000, 1), (199_000, 1)])
def test_threads_fit_into_the_quota(quota_us, most, system):
    root = new_system(system, {"cpu.max": f"{quota_us} 100000"})
    assert (count_processors(root), default_threads(root)) == (most, most)


def test_a_generous_quota_changes_nothing(system):
    root = new_system(system, {"cpu.max": "6400000 100000"})
    assert count_processors(root) == count_allowed()
    assert default_threads(root) == min(MAX_DEFAULT_THREADS, count_allowed())


def test_the_board_names_what_it_may_not_use(system):
    root = new_system(system, {"cpu.max": "50000 100000", "memory.max": "268435456"})
    *_, quota, memory = describe_board(root).limits
    assert (quota, memory) == ("CPU quota 0.5", "memory limit 256 MiB")
    assert describe_board(root / "nowhere").memory_limit_bytes is None


def test_the_affinity_mask_counts(tiny):
    if count_allowed() < 2:
        pytest.skip("this machine has one processor")
    one = {min(os.sched_getaffinity(0))}
    done = subprocess.run(
        [sys.executable, "-m", "edgetl_runtime", "bench", tiny, "--runs", "1", "--json"],
        capture_output=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, one),
    )
    report = json.loads(done.stdout)
    assert (report["threads"], report["board"]["allowed_cores"]) == (1, 1)


@pytest.fixture
def half_a_processor():
    """Puts a process into a group of its own, which may use half a processor."""
    old, new = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    parent = old if (old / "cpu.cfs_quota_us").exists() else new
    group = parent / f"edgetl-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no right to make a control group ({error.strerror})")
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text("50000")
        elif (group / "cpu.max").exists():
            (group / "cpu.max").write_text("50000 100000")
        else:
            pytest.skip("no controller of processor time")
        yield lambda pid: (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        pytest.skip(f"no right to set a quota ({error.strerror})")
    finally:
        group.rmdir()


def test_a_real_quota_is_found_and_named(half_a_processor, tiny):
    command = [sys.executable, "-m", "edgetl_runtime", "bench", tiny, "--runs", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        half_a_processor(process.pid)
        printed, _ = process.communicate("go\n")
    assert process.returncode == 0
    assert "CPU quota 0.5\n" in printed
    assert "threads 1," in printed
