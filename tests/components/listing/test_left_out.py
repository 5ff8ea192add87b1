"""What lies beside X-rays is left out by rule, counted, and never a class."""

import os

import pytest

from tests.components.source.test_labelling import touch
from tfxray.components.common.errors import UserError
from tfxray.components.listing import file_list, left_out
from tfxray.components.source import labelling

CLASSES = ("NORMAL", "PNEUMONIA")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("NORMAL/masks/x.png", "mask"),
        ("mask/mask/x_mask.png", "mask"),
        ("set/ManualMask/leftMask/x.png", "mask"),
        ("NORMAL/lung masks/x.png", "mask"),
        ("Lung_Masks_512/x.png", "mask"),
        ("cxr_masks/x.png", "mask"),
        ("lungmask/x.png", "mask"),
        ("Annotations/x.png", "mask"),
        ("NORMAL/ground-truth/x.png", "mask"),
        ("Train Set/Ground-truths/x.png", "mask"),
        ("ground truths/x.png", "mask"),
        ("NORMAL/ground.truth/x.png", "mask"),
        ("NORMAL/@eaDir/x.png", "thumbnail"),
        ("NORMAL/.thumbnails/x.png", "thumbnail"),
        ("NORMAL/Thumbs_128/x.png", "thumbnail"),
        ("#recycle/NORMAL/x.png", "recycle_bin"),
        ("$RECYCLE.BIN/x.png", "recycle_bin"),
        (".Trash-1000/files/x.png", "recycle_bin"),
        ("NORMAL/Thumbs.db", "other_kind"),
        ("NORMAL/look.ipynb", "other_kind"),
        ("NORMAL/report.DOCX", "other_kind"),
        ("README", "other_kind"),
        ("DICOMDIR", "other_kind"),
        ("NORMAL/.ipynb_checkpoints/x.png", "hidden"),
        ("__MACOSX/NORMAL/._x.png", "hidden"),
        ("images and masks/images/x.png", None),
        ("images_masks/images/x.png", None),
        ("images_masks/masks/x.png", "mask"),
        ("Chest Xray Masks and Labels/x.png", None),
        ("no_mask/x.png", None),
        ("Lung Segmentation Data/images/x.png", None),
        ("NORMAL/masked.png", None),
        ("NORMAL/scan.dcm", None),
        ("NORMAL/scan.nii", None),
        ("NORMAL/1.2.840.113", None),
    ],
)
def test_the_rule_of_a_file_follows_from_its_path(path, rule):
    assert left_out.Sieve(left_out.Choice()).rule(path) == rule


def test_files_that_are_named_after_an_image_are_its_masks(tmp_path):
    masks = [
        "NORMAL/x_mask.png",
        "NORMAL/x_left_mask.tif",
        "NORMAL/mask_x.png",
        "PNEUMONIA/y-seg.png",
    ]
    images = ["NORMAL/x.png", "PNEUMONIA/y.jpg", "PNEUMONIA/patient with oxygen mask.png"]
    touch(tmp_path, *images, *masks, "NORMAL/x_thumb.jpg")
    listing = file_list.list_images(str(tmp_path))
    assert sorted(listing.files) == sorted(images)
    assert sorted(listing.left_out["mask"]) == sorted(masks)
    assert listing.left_out["thumbnail"] == ["NORMAL/x_thumb.jpg"]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("img_001", "img_001_mask"),
        ("CHNCXR_0001_0", "CHNCXR_0001_0_mask"),
        ("P0001_1", "P0001_1-seg"),
        ("00000013_005", "00000013_005_left_mask"),
        ("scan 12", "scan 12 mask 1"),
        ("p1_left", "p1_left_lung_mask"),
        ("covid_12", "covid_12_lung_mask"),
        ("covid_lung", "covid_lung_masks"),
        ("P0001", "P0001mask"),
        ("mask_1", "mask_1_mask"),
        ("img_001", "mask_img_001"),
        ("img_001", "img_001_thumb"),
    ],
)
def test_an_image_whose_name_has_what_masks_are_called_has_a_mask(image, mask):
    rules = left_out.name_after_images([f"a/{image}.png", f"b/{mask}.png"])
    assert rules == {f"b/{mask}.png": "thumbnail" if "thumb" in mask else "mask"}


@pytest.mark.parametrize("name", ["x_masked", "y_mask", "unmask", "seg_2", "x_1"])
def test_what_is_named_after_no_image_is_one(name):
    assert left_out.name_after_images(["x.png", "un_1.png", "seg_1.png", f"{name}.png"]) == {}


def test_masks_are_not_trained_on(tmp_path):
    names = [f"{c}/{kind}/{i}.png" for c in CLASSES for kind in ("images", "masks") for i in (1, 2)]
    touch(tmp_path, *names)
    rows, _, listing = labelling.label_images(tmp_path, labelling.Rules(CLASSES))
    assert [row.path for row in rows] == [name for name in sorted(names) if "images" in name]
    assert listing.count_left_out() == {"mask": 4}


def test_a_class_is_not_lost_by_its_name(tmp_path):
    touch(tmp_path, "mask/a.png", "thumbs/b.png")
    rows, *_ = labelling.label_images(tmp_path, labelling.Rules(("mask", "thumbs")))
    assert len(rows) == 2
    rules = labelling.Rules(("NO", "YES"), labels={"mask": "YES", "thumbs": "NO"})
    assert len(labelling.label_images(tmp_path, rules).rows) == 2
    with pytest.raises(UserError, match="left out as mask: 1; left out as thumbnail: 1"):
        labelling.label_images(tmp_path, labelling.Rules(("NO", "YES")))


def test_who_names_a_folder_or_file_means_it(tmp_path):
    touch(tmp_path, "NORMAL/masks/a.png", "NORMAL/b.png", "PNEUMONIA/c.png")
    rules = labelling.Rules(CLASSES, include=("NORMAL/masks", "PNEUMONIA"))
    rows, _, listing = labelling.label_images(tmp_path, rules)
    assert [row.path for row in rows] == ["NORMAL/masks/a.png", "PNEUMONIA/c.png"]
    assert listing.count_left_out() == {"not_included": 1}
    (tmp_path / "manifest.csv").write_text("path\nNORMAL/masks/a.png\nPNEUMONIA/c.png\n")
    rows, *_ = labelling.label_images(tmp_path, labelling.Rules(CLASSES))
    assert sorted(row.path for row in rows) == ["NORMAL/masks/a.png", "PNEUMONIA/c.png"]


@pytest.mark.parametrize(
    ("glob", "matches", "others"),
    [
        ("*.png", ["a.png", "x/y/a.png"], ["a.jpg", "a.png.jpg"]),
        ("lateral", ["lateral", "lateral/a.png", "x/lateral/y/a.png"], ["x/lateral.png"]),
        ("x/*.png", ["x/a.png"], ["a.png", "x/y/a.png", "y/x/a.png"]),
        ("x/**/a.png", ["x/a.png", "x/y/z/a.png"], ["a.png"]),
        ("**/old", ["old/a.png", "x/old/a.png"], ["x/older/a.png"]),
        ("x/", ["x/a.png", "y/x/a.png"], ["x.png"]),
        ("/x", ["x/a.png"], ["y/x/a.png"]),
        ("[ab]?.png", ["a1.png", "x/b2.png"], ["c1.png", "a.png"]),
        ("[!ab]*", ["c.png"], ["a.png"]),
        ("a+(1).png", ["a+(1).png"], ["aa1.png"]),
        ("a[\\d].png", ["a\\.png", "ad.png"], ["a1.png"]),
        ("a[.png", ["a[.png"], ["a.png"]),
    ],
)
def test_globs_match_as_gitignore_has_it(glob, matches, others):
    match = left_out.match_glob(glob)
    assert [path for path in (*matches, *others) if match(path)] == matches


def test_the_users_globs_count_before_a_manifest(tmp_path):
    touch(tmp_path, "NORMAL/a.png", "PNEUMONIA/c.png", "PNEUMONIA/d.png")
    (tmp_path / "manifest.csv").write_text("path\nNORMAL/a.png\nPNEUMONIA/c.png\nPNEUMONIA/d.png\n")
    rules = labelling.Rules(CLASSES, exclude=("d.*",))
    rows, _, listing = labelling.label_images(tmp_path, rules)
    assert [row.path for row in rows] == ["NORMAL/a.png", "PNEUMONIA/c.png"]
    assert listing.count_left_out() == {"excluded": 1}


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.split("/")[-1].encode() * 9)


@pytest.mark.parametrize("copy", ["chest_xray", "set/chest_xray", "chest_xray/chest_xray"])
def test_a_tree_that_lies_there_twice_counts_once(tmp_path, copy):
    names = [f"{s}/{c}/{s}{c}.png" for s in ("train", "val", "test") for c in CLASSES]
    fill(tmp_path, *names, *(f"{copy}/{name}" for name in names))
    images = labelling.label_images(tmp_path, labelling.Rules(CLASSES))
    assert [row.path for row in images.rows] == sorted(names)
    assert images.listing.count_left_out() == {"copy": 6}
    assert any("holds the files of the data folder once more" in n for n in images.listing.notes)


def test_a_copy_beside_its_original_counts_once(tmp_path):
    fill(
        tmp_path,
        *(f"{top}/{c}/{c}.png" for top in ("set", "set - Copy", "set (1)") for c in CLASSES),
    )
    listing = file_list.list_images(str(tmp_path))
    assert listing.files == ["set/NORMAL/NORMAL.png", "set/PNEUMONIA/PNEUMONIA.png"]
    assert listing.copies == {"set - Copy": "set", "set (1)": "set"}


def test_equal_names_of_other_images_are_no_copy(tmp_path):
    fill(tmp_path, "NORMAL/1.png", "site/NORMAL/1.png", "PNEUMONIA/2.png")
    (tmp_path / "site/NORMAL/1.png").write_bytes(b"another film")
    assert len(file_list.list_images(str(tmp_path)).files) == 3


def test_folders_of_links_are_read_if_the_config_says_so(tmp_path):
    fill(tmp_path, "far/a.png", "far/deep/b.png", "in/PNEUMONIA/c.png")
    source = tmp_path / "in"
    (source / "NORMAL").symlink_to(tmp_path / "far")
    (source / "again").symlink_to(tmp_path / "far")
    (source / "inside").symlink_to(source / "PNEUMONIA")
    (source / "PNEUMONIA" / "circle").symlink_to(source)
    (source / "PNEUMONIA" / "up").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"outside folders: 5. Set ingest.follow_links"):
        labelling.label_images(source, labelling.Rules(CLASSES))
    listing = file_list.list_images(str(source), left_out.Choice(follow_links=True))
    assert listing.files == ["NORMAL/a.png", "NORMAL/deep/b.png", "PNEUMONIA/c.png"]
    assert [name for name, *_ in listing.unread] == [
        "PNEUMONIA/circle",
        "PNEUMONIA/up",
        "again",
        "inside",
    ]
    before = file_list.fingerprint(source, follow_links=True)
    fill(tmp_path, "far/new.png")
    assert file_list.fingerprint(source, follow_links=True) != before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder"),
        (
            lambda path: path.write_bytes(b"PK\x03\x04"),
            "is a ZIP archive: unpack it first. Name the folder",
        ),
        (
            lambda path: path.write_bytes(b"\x1f\x8b\x08"),
            "is a gzip file: unpack it first. Name the folder",
        ),
        (
            lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c"),
            "is a 7-Zip archive: unpack it first",
        ),
        (lambda path: path.write_bytes(bytes(257) + b"ustar"), "is a tar archive: unpack it"),
        (lambda path: path.write_bytes(b"\x89PNG"), "is a file. Name the folder"),
        (lambda path: path.symlink_to("nowhere"), "is a link that leads nowhere"),
        (lambda path: path.symlink_to(path.name), "cannot be read"),
        (lambda path: os.mkfifo(path), "is no folder"),
    ],
)
def test_what_is_no_folder_is_called_what_it_is(tmp_path, make, message):
    make(tmp_path / "data")
    with pytest.raises(UserError) as caught:
        file_list.require_folder(str(tmp_path / "data"), "--data")
    assert message in str(caught.value)
    assert "(--data)" in str(caught.value)


def test_a_web_address_is_no_folder():
    with pytest.raises(UserError, match="is a web address"):
        file_list.require_folder("https://example.org/set.zip", "--data")


def test_a_files_address_is_told_to_be_written_as_a_path(tmp_path):
    with pytest.raises(UserError, match=r"is an address\. Write the folder's path") as caught:
        file_list.require_folder(f"file://{tmp_path}")
    assert "apache-beam" not in str(caught.value)
