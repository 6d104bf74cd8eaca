"""A night's run in small: killed, stopped, in shards or on a cluster, the tables are those of a quiet run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

import pipelines
from imaging import UsageError
from pipelines import Config, memory
from pipelines.place import claimed
from pipelines.plan import Shard
from pipelines.schemas import SCHEMAS

from .cohort import BAD, write_cohort

ROOT = Path(__file__).parents[2]
QUICK = ("csv", "parquet")
SERIES, FEW, FEW_BAD = 60, 18, 6
TABLES = [*(f"{name}.parquet" for name in SCHEMAS), "findings.csv", "scans.csv", "burden.csv", "patients.csv",
          "hypotheses.csv", "key.csv", "columns.json"]  # fmt: skip


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A folder with every kind of bad series among good ones, their reasons, and the output of a quiet serial run."""
    base = tmp_path_factory.mktemp("cohort")
    reasons = write_cohort(base / "in", SERIES, 1 / 3)
    study = pipelines.run(base / "in", base / "quiet", formats=QUICK, jobs=1)
    return base / "in", reasons, study


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The same with fewer series."""
    base = tmp_path_factory.mktemp("few")
    write_cohort(base / "in", FEW, 1 / 3)
    return base / "in", pipelines.run(base / "in", base / "quiet", formats=QUICK, jobs=1)


def start(*arguments, **how):
    """calcimap in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipelines", "run", *map(str, arguments), "--formats", ",".join(QUICK)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)


def events(out):
    """Events so far; the last line may be on its way."""
    try:
        lines = (out / "events.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def wait_for(run, out, n, status="analysed"):
    """Until so many scans are done; the run must not end before."""
    while sum(e["event"] == "scan" and e["status"] == status and not e["resumed"] for e in events(out)) < n:
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)


def workers_of(run):
    """The worker processes, not their nannies."""
    return [p for p in psutil.Process(run.pid).children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]


def same_tables(one, other):
    for name in TABLES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_exactly_the_bad_ones_are_refused_with_their_reason(cohort):
    folder, reasons, study = cohort
    names = pd.read_csv(study.out / "key.csv")["path"].str.split("/").str[0]
    bad = study.scans.assign(name=names)[study.scans["status"] != "analysed"]
    assert dict(zip(bad["name"], bad["reason"], strict=True)) == reasons
    assert len(set(reasons.values())) >= 10
    assert len(reasons) == len(BAD) == 20
    assert len(study.scans) == len(list(folder.iterdir())) == SERIES
    assert (study.scans["n_findings"] > 0).sum() == SERIES - len(BAD)


def test_a_worker_killed_and_the_run_killed_and_resumed_give_the_tables_of_a_quiet_run(cohort, tmp_path):
    folder, _, study = cohort
    out = tmp_path / "out"
    run = start(folder, "--out", out, "--jobs", 2)
    wait_for(run, out, 4)
    os.kill(workers_of(run)[0].pid, signal.SIGKILL)
    wait_for(run, out, 12)
    family = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.communicate()
    assert json.loads((out / "run.json").read_text()) == {"finished": False}
    assert not (out / "findings.csv").exists()
    assert psutil.wait_procs(family, timeout=120)[1] == []
    again = start(folder, "--out", out, "--jobs", 2)
    said, errors = again.communicate(timeout=600)
    assert again.returncode == 8, errors
    assert all(line.endswith(" left") for line in errors.splitlines())  # nothing but progress, on a slow machine
    assert f"{SERIES - len(BAD)} analysed, {len(BAD)} refused, 0 failed" in said
    same_tables(study.out, out)
    record = json.loads((out / "run.json").read_text())
    assert record["finished"]
    assert sum(scan["resumed"] for scan in record["scans"].values()) >= 12
    assert record["stages"]["analyse"]["scans"] >= SERIES - len(BAD)
    assert record["peak_mb"]["coordinator"] > 0
    assert sorted(p.name for p in (out / ".work").iterdir()) == ["all.lock"]


def test_a_scan_whose_worker_is_killed_is_done_again_alone(few, tmp_path):
    """Each worker is killed once while it works: at least one scan is lost with it, and none in the end."""
    folder, study = few
    out = tmp_path / "out"
    run = start(folder, "--out", out, "--jobs", 2)
    wait_for(run, out, 3)
    for worker in workers_of(run):
        os.kill(worker.pid, signal.SIGKILL)
    run.communicate(timeout=600)
    assert run.returncode == 8
    assert any(e["event"] == "again" for e in events(out))
    same_tables(study.out, out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_writes_what_is_done_and_goes_on_later(few, tmp_path, number):
    folder, study = few
    out = tmp_path / "out"
    run = start(folder, "--out", out, "--jobs", 1)
    wait_for(run, out, 3)
    run.send_signal(number)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert errors == "calcimap: stopped; finished scans are kept, run the same command again to go on\n"
    scans = pd.read_csv(out / "scans.csv")
    assert len(scans) == FEW
    assert (scans["reason"] == "stopped").sum() + (scans["status"] == "analysed").sum() >= FEW - FEW_BAD
    assert scans.loc[scans["reason"] == "stopped", "n_findings"].isna().all()
    assert set(pd.read_csv(out / "findings.csv")["scan_id"]) <= set(scans.loc[scans["status"] == "analysed", "scan_id"])
    assert not json.loads((out / "run.json").read_text())["finished"]
    if number == signal.SIGTERM:
        return
    pipelines.run(folder, out, formats=QUICK, jobs=1)
    same_tables(study.out, out)


def test_shards_in_one_folder_and_a_run_without_shard_to_merge_them(few, tmp_path):
    folder, study = few
    parts = [pipelines.run(folder, tmp_path, formats=QUICK, jobs=1, shard=f"{k}/3") for k in (1, 2, 3)]
    assert [p.out.relative_to(tmp_path).as_posix() for p in parts] == [f"shards/{k}-of-3" for k in (1, 2, 3)]
    assert sum(len(p.scans) for p in parts) == FEW
    assert set.union(*(set(p.scans["scan_id"]) for p in parts)) == set(study.scans["scan_id"])
    assert sum(len(p.findings) for p in parts) == len(study.findings)
    whole = pipelines.run(folder, tmp_path, formats=QUICK, jobs=1)
    same_tables(study.out, tmp_path)
    record = json.loads((whole.out / "run.json").read_text())
    assert sum(scan["resumed"] for scan in record["scans"].values()) == FEW - FEW_BAD


def test_a_cluster_of_two_workers_started_by_hand_loses_nothing_when_one_is_stopped(few, tmp_path):
    folder, study = few
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DASK_LOGGING__DISTRIBUTED": "error"}
    place = tmp_path / "scheduler.json"
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    dask = [sys.executable, "-m", "dask"]
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    started = [
        subprocess.Popen([*dask, "scheduler", *options, "--port", "0", "--scheduler-file", place], **quiet),
        *(
            subprocess.Popen([*dask, "worker", *options, "--scheduler-file", place, "--nthreads", "1"], **quiet)
            for _ in range(2)
        ),
    ]
    try:
        while not place.exists() or not place.stat().st_size:
            time.sleep(0.05)
        address = json.loads(place.read_text())["address"]
        assert address.startswith("tcp://127.0.0.1:")
        out = tmp_path / "out"
        run = start(folder, "--out", out, "--scheduler", address)
        wait_for(run, out, 3)
        started[2].terminate()
        _, errors = run.communicate(timeout=600)
        assert run.returncode == 8, errors
        assert events(out)[-1]["counts"] == {"analysed": FEW - FEW_BAD, "refused": FEW_BAD, "failed": 0, "ignored": 0}
        same_tables(study.out, out)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=30)


def test_a_scan_that_takes_too_long_fails_and_is_done_when_there_is_time(few, tmp_path):
    folder, _ = few
    (good,) = (p for p in [folder / "case00000"])
    short = Config.load(None, ["batch.time_limit_s=0.02"])
    study = pipelines.run(good, tmp_path, formats=QUICK, config=short, jobs=1)
    assert study.scans[["status", "reason"]].iloc[0].tolist() == ["failed", "timeout"]
    assert "batch.time_limit_s" in study.scans["message"].iloc[0]
    assert study.exit_code == 8
    assert pipelines.run(good, tmp_path, formats=QUICK).exit_code == 0
    kept = pipelines.run(good, tmp_path, formats=QUICK, config=short)
    assert kept.exit_code == 0  # a limit changes no result: the finished scan is kept


def test_overwrite_does_everything_again(few, tmp_path):
    folder, _ = few
    for overwrite in (False, False, True):
        study = pipelines.run(folder / "case00000", tmp_path, formats=QUICK, overwrite=overwrite)
    kept = [e["resumed"] for e in events(tmp_path) if e["event"] == "scan"]
    assert kept == [False, True, False]
    assert study.exit_code == 0


def test_a_part_that_was_cut_off_is_not_taken_for_whole(few, tmp_path):
    folder, _ = few
    first = pipelines.run(folder / "case00000", tmp_path, formats=QUICK)
    (scan,) = first.scans["scan_id"]
    part = tmp_path / "scans" / scan / "findings.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:100])
    pipelines.run(folder / "case00000", tmp_path, formats=QUICK)
    assert part.read_bytes() == whole


def test_tables_of_formats_that_are_not_asked_for_do_not_stay_from_an_earlier_call(few, tmp_path):
    folder, _ = few
    pipelines.run(folder / "case00000", tmp_path, formats=("csv", "parquet", "report"))
    study = pipelines.run(folder / "case00001", tmp_path, formats=("csv",))
    assert not list(tmp_path.glob("*.parquet"))
    assert not (tmp_path / "report.html").exists()
    assert set(study.findings["scan_id"]) == set(pd.read_csv(tmp_path / "findings.csv")["scan_id"])


def test_only_one_run_at_a_time_writes_a_folder(few, tmp_path):
    folder, _ = few
    with claimed(tmp_path / "out"), pytest.raises(UsageError, match="another run is writing"):
        pipelines.run(folder / "case00000", tmp_path / "out", formats=QUICK)
    with claimed(tmp_path / "out", "1-of-2"):  # a shard beside it may
        assert pipelines.run(folder / "case00000", tmp_path / "out", formats=QUICK).exit_code == 0


def test_links_in_the_output_folder_lead_nowhere(few, tmp_path):
    folder, _ = few
    out, theirs = tmp_path / "out", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("mine")
    (theirs / "folder").mkdir()
    (scan,) = pipelines.run(folder / "case00000", out, formats=QUICK).scans["scan_id"]
    for name in ("findings.csv", "findings.parquet", "key.csv", "run.json", "columns.json"):
        (out / name).unlink()
        (out / name).symlink_to(theirs / "file")
    (out / "scans" / scan).rename(tmp_path / "moved")
    (out / "scans" / scan).symlink_to(theirs / "folder")
    assert pipelines.run(folder / "case00000", out, formats=QUICK).exit_code == 0
    assert (theirs / "file").read_text() == "mine"
    assert list((theirs / "folder").iterdir()) == []
    assert not any(p.is_symlink() for p in out.rglob("*"))
    for name in ("scans", ".work"):
        (out / name).rename(tmp_path / f"moved {name}")
        (out / name).symlink_to(theirs / "folder")
        with pytest.raises(UsageError, match="is a link or a file"):
            pipelines.run(folder / "case00000", out, formats=QUICK)
        (out / name).unlink()
    (out / "events.jsonl").unlink()
    (out / "events.jsonl").symlink_to(theirs / "file")
    with pytest.raises(UsageError, match="is a link or a file"):
        pipelines.run(folder / "case00000", out, formats=QUICK)
    assert (theirs / "file").read_text() == "mine"


def test_units_stand_in_merged_tables_as_in_parts(few):
    _, study = few
    for name, columns in SCHEMAS.items():
        schema = pq.read_schema(study.out / f"{name}.parquet")
        assert schema.names == list(columns)
        for column in columns.values():
            assert schema.field(column.name).metadata[b"unit"].decode() == column.unit
    (scan, *_) = study.findings["scan_id"]
    part = pq.read_schema(study.out / "scans" / scan / "findings.parquet")
    assert part.equals(pq.read_schema(study.out / "findings.parquet"), check_metadata=False)


def test_burden_of_a_patient_is_never_a_sum_over_scans(tmp_path):
    from dicom_writer import write_dicom_series

    from imaging.synthetic import Ball, Thing, render

    for number, balls in ((1, 1), (2, 3)):
        things = [Thing(Ball((-12.0 + 8 * k, 0, 0), 2.0), 800.0, f"ball {k}") for k in range(balls)]
        volume = render(45.0, things, (12, 40, 40), (1.5, 1.0, 1.0), origin=(-20, -20, -8), noise_sd=10, seed=1).volume
        write_dicom_series(volume, tmp_path / "in" / str(number), name="one", series_number=number)
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=QUICK)
    (row,) = study.patients.to_dict("records")
    assert (row["n_studies"], row["n_scans"], row["n_analysed"], row["n_with_findings"]) == (1, 2, 2, 2)
    assert (row["n_findings_median"], row["n_findings_max"]) == (2.0, 3)
    volumes = study.scans["total_volume_mm3"]
    assert (row["volume_mm3_min"], row["volume_mm3_max"]) == (volumes.min(), volumes.max())
    assert row["volume_mm3_median"] == pytest.approx(volumes.mean())


def test_shards_are_a_partition_and_stay_the_same():
    scans = [f"{k:016x}" for k in range(1000)]
    shards = [{s for s in scans if Shard(k, 7).holds(s)} for k in range(1, 8)]
    assert sum(map(len, shards)) == 1000
    assert set.union(*shards) == set(scans)
    assert min(map(len, shards)) > 100
    for text in ("0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5"):
        with pytest.raises(UsageError, match="--shard takes i/n"):
            Shard.parse(text)


def test_jobs_by_default_are_the_cores_that_memory_and_work_allow(monkeypatch):
    monkeypatch.setattr(memory, "cores", lambda: 8)
    gb = 10**9
    assert memory.default_jobs([gb] * 100, 1000.0, 64 * gb) == 8
    assert memory.default_jobs([gb] * 100, 1000.0, 3 * gb) == 3
    assert memory.default_jobs([9 * gb] + [gb] * 100, 1000.0, 12 * gb) == 4
    assert memory.default_jobs([9 * gb], 1000.0, 3 * gb) == 1
    assert memory.default_jobs([gb] * 100, 11.0, 64 * gb) == 2
    assert memory.default_jobs([gb] * 100, 1.0, 64 * gb) == 1
    monkeypatch.undo()
    assert 1 <= memory.cores() <= os.cpu_count()
    assert 0 < memory.machine_bytes() <= psutil.virtual_memory().total
