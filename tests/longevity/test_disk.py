"""Fifty commits, built and made live one after the other: what they leave on the disk."""

import uuid

from tests.e2e.support import checkout as checkouts
from tests.e2e.support.checkout import Checkout
from tests.e2e.support.disk import MB, Disk, commits_here, one_image, releases
from tests.e2e.support.site import Site

KEEP = 5
EARLY = 5  # deployments; by then every kind of thing is there
BOUND = 1.2  # times as much as N + 2 images have for themselves


def new_commit(root: Checkout, number: int) -> str:
    """Return a commit that changes one line of the service."""

    def change(text: str) -> str:
        return text.replace("</footer>", f" · {number} {uuid.uuid4()}</footer>")

    return checkouts.commit(root.root, "app/templates/index.html", change)


def test_the_disk_after_many_deployments(
    spare_site: Site, checkout: Checkout, deployments: int, figures: dict[str, object]
):
    assert deployments > EARLY + KEEP
    # Nobody's build cache is cut down: all that builds add counts.
    ship = spare_site.invoke.having(
        PIPELINE_KEEP_RELEASES=str(KEEP), PIPELINE_BUILD_CACHE_GB="9999"
    )
    shas, disks, seconds = [], {}, []
    for number in range(1, deployments + 1):
        shas.append(new_commit(checkout, number))
        ship("build", "--push", "--sha", shas[-1], timeout=600).ok()
        ran = ship("deploy", "--sha", shas[-1], timeout=300).ok()
        assert "warning" not in ran.text, ran.text
        seconds.append(ran.seconds)
        if number in {1, EARLY, deployments}:
            disks[number] = Disk.of(spare_site)

    image = one_image(spare_site)
    grown = disks[deployments].total - disks[EARLY].total
    bound = BOUND * (KEEP + 2) * image
    figures |= {f"disk after {number}": str(disk) for number, disk in disks.items()}
    figures["what only the newest image has [MB]"] = round(image / MB, 2)
    figures[f"growth from {EARLY} to {deployments} deployments [MB]"] = round(grown / MB, 2)
    figures[f"bound: {BOUND} x {KEEP + 2} images [MB]"] = round(bound / MB, 2)
    figures["a deploy, the tidying up included [s]"] = {
        "first ten": round(sum(seconds[1:11]) / 10, 2),
        "last ten": round(sum(seconds[-10:]) / 10, 2),
    }

    left = shas[-KEEP - 1 :]
    assert commits_here(spare_site) == set(left)
    assert releases(spare_site) == {sha[:7] for sha in left}
    assert spare_site.status()["live"]["sha"] == shas[-1]
    refused = ship("rollback", "--to", shas[0]).refused(2)
    assert all(sha[:12] in refused.next_step for sha in left)
    ship("rollback", "--to", left[0]).ok()
    assert spare_site.status()["live"]["sha"] == left[0]
    assert (
        len(spare_site.invoke("history", "--limit", "100", "--json").ok().json) == deployments + 1
    )
    assert image > 0
    assert grown <= bound, figures
