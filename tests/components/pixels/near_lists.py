"""What `near_transforms` finds, from a list in memory: what its tests compare it with."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tfxray.components.pixels.near import Fingerprint, Groups, Links, compare, make_groups, pack


def find_pairs(hashes: Sequence[str], distance: int) -> list[tuple[int, int]]:
    """Pairs of hashes that differ in a few bits.

    Args:
        hashes: 64 hexadecimal digits each, all different.
        distance: At most so many differing bits.

    Returns:
        The places of each pair, the lower one first, in order.
    """
    words = pack([bytes.fromhex(text) for text in hashes])
    pairs: list[tuple[int, int]] = []
    for part in range(distance + 1):
        for first, second in compare(words, distance, part):
            pairs += zip(first.tolist(), second.tolist(), strict=True)
    return sorted((min(pair), max(pair)) for pair in pairs)


def group_patients(images: Iterable[Fingerprint], distance: int) -> Groups:
    """Joins patients who have the same image, or nearly the same.

    A group is all that hangs together: the images of its ends may differ. So it is bounded.

    Args:
        images: All of them.
        distance: See `find_pairs`.
    """
    sizes = Counter[str]()
    owners: dict[str, str] = {}  # of each digest and hash, one patient
    hashes: dict[str, None] = {}
    links, same = Links(), Links()
    for patient, sha256, phash in images:
        sizes[patient] += 1
        for value in filter(None, (sha256, phash.lower())):
            links.join(patient, owners.setdefault(value, patient))
        if sha256:
            same.join(patient, owners[sha256])
        if phash:
            hashes[phash.lower()] = None
    texts = list(hashes)
    for i, j in find_pairs(texts, distance):
        links.join(owners[texts[i]], owners[texts[j]])
    return make_groups(links, same, sizes, sizes.total())
