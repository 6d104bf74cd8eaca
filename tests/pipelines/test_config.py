"""Configuration is strict and says what is near."""

import pytest

from imaging import UsageError
from pipelines import Config


def test_settings_override_the_file(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[detection]\nthreshold_hu = 120\nmin_voxels = 5\n[privacy]\nsalt = "s"\n')
    config = Config.load(file, ["detection.threshold_hu=130", "detection.separate=false", "detection.connectivity=6"])
    assert config.detection.threshold_hu == 130
    assert config.detection.min_voxels == 5
    assert config.detection.separate is False
    assert config.detection.connectivity == 6
    assert config.privacy.salt == "s"


def test_a_list_by_commas():
    assert Config.load(None, ["detection.keep=bone_adjacent,chest_wall"]).detection.keep == (
        "bone_adjacent",
        "chest_wall",
    )


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("detection.treshold_hu=1", "detection.threshold_hu"),
        ("threshold_hu=1", "detection.threshold_hu"),
        ("nonsense=1", "known keys"),
        ("detection.threshold_mode=auto", "threshold_mode"),
        ("detection.threshold_hu=high", "threshold_hu"),
        ("detection.connectivity=7", "connectivity"),
        ("detection.min_voxels=0", "min_voxels"),
        ("reading.max_volume_gb=0", "max_volume_gb"),
        ("detection.threshold_hu", "key=value"),
    ],
)
def test_mistakes_are_named(setting, said):
    with pytest.raises(UsageError, match=said):
        Config.load(None, [setting])


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        Config.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[detection\n")
    with pytest.raises(UsageError, match="TOML"):
        Config.load(tmp_path / "bad.toml")
    (tmp_path / "flat.toml").write_text("threshold_hu = 3\n")
    with pytest.raises(UsageError, match="group"):
        Config.load(tmp_path / "flat.toml")


def test_the_digest_tells_configurations_apart_and_the_salt_is_not_told():
    a, b = Config(), Config.load(None, ["privacy.salt=secret"])
    assert a.digest() == Config().digest() != b.digest()
    assert "secret" not in str(b.to_dict())
