"""Show the report's pictures: each image whole, its crops in every picture, their scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from livemoments.lab.benchmark.results import ImageScore, MetricInfo
from livemoments.lab.report.album import Encoded
from livemoments.lab.report.crops import Crop, ShownImage, Tile
from livemoments.lab.report.findings import Findings, printed
from livemoments.lab.report.markup import Markup, join, tag

SCORES = 2  # under a crop


def gallery(findings: Findings, shown: Iterable[ShownImage], encoded: Encoded) -> Markup:
    """Show all chosen images."""
    scores = {(score.image, score.method): score for score in findings.run.scores}
    images = _Gallery(findings=findings, encoded=encoded, scores=scores, metrics=_metrics(findings))
    return join(images.article(number, each) for number, each in enumerate(shown, 1))


def _metrics(findings: Findings) -> Sequence[MetricInfo]:
    """Return the metric that images are ordered by, then others against the same."""
    gauge = findings.gauge
    if gauge is None:
        return []
    rest = [m for m in findings.by_image if m.against == gauge.against and m is not gauge]
    return [gauge, *rest][:SCORES]


@dataclass(frozen=True, kw_only=True)
class _Gallery:
    """What all images of the gallery share."""

    findings: Findings
    encoded: Encoded
    scores: Mapping[tuple[str, str], ImageScore]  # by image and method
    metrics: Sequence[MetricInfo]  # that stand under a crop

    def article(self, number: int, shown: ShownImage) -> Markup:
        """Show an image: its name, the whole, its crops."""
        about = f"{shown.width} \N{MULTIPLICATION SIGN} {shown.height} px"
        if shown.image.source:
            about += f". {shown.image.source}"
        return tag(
            "article",
            tag("h3", shown.image.name),
            tag("p", about, class_="about"),
            tag("div", self._whole(shown), class_="overview"),
            *(self._crop(shown, which, crop) for which, crop in enumerate(shown.crops, 1)),
            id=f"image-{number}",
        )

    def _whole(self, shown: ShownImage) -> Markup | None:
        """Show the whole picture, small, with the crops outlined."""
        if shown.whole is None:
            return None
        unit = max(shown.width, shown.height) / 100
        outlines = [
            tag(
                "g",
                tag("rect", x=crop.left, y=crop.top, width=crop.width, height=crop.height),
                tag("text", which, x=round(crop.left + unit), y=round(crop.top + 5 * unit)),
            )
            for which, crop in enumerate(shown.crops, 1)
        ]
        picture = self._img(shown.whole, f"{shown.image.name}, the whole picture")
        box = f"0 0 {shown.width} {shown.height}"
        drawing = tag(
            "svg", *outlines, viewBox=box, font_size=round(4.5 * unit), aria_hidden="true"
        )
        return tag("div", picture, drawing, class_="whole")

    def _crop(self, shown: ShownImage, which: int, crop: Crop) -> Markup:
        """Show a place of an image, in every picture."""
        name = f"crop {which} of {shown.image.name}"
        head = tag("h4", tag("span", which, class_="place"), " ", crop.why)
        tiles = [self._tile(shown, crop, tile, name) for tile in crop.tiles]
        size = f"--w:{crop.width};--h:{crop.height}"
        row = tag("ul", *tiles, class_="tiles", aria_label=name, style=size)
        return tag("section", head, row, class_="crop")

    def _tile(self, shown: ShownImage, crop: Crop, tile: Tile, where: str) -> Markup:
        """Show a picture's part of a crop over its name and scores."""
        if tile.picture is None:
            view = tag("p", "no picture: ", tile.missing, class_="missing")
        else:
            view = self._img(tile.picture, f"{tile.label}, {where}", crop.width, crop.height)
        caption = tag(
            "figcaption",
            tag("b", tile.label),
            tag("small", tile.note) if tile.note else None,
            *self._scores(shown.image.name, tile.method),
        )
        reference = self.findings.reference
        ours = reference is not None and tile.method == reference.name
        kind = "ours" if ours else None if tile.method else "given"
        return tag("li", tag("figure", tag("div", view, class_="view"), caption), class_=kind)

    def _scores(self, image: str, method: str) -> list[Markup]:
        """Write a line for each metric that the method's picture has a value of."""
        score = self.scores.get((image, method))
        found = []
        for metric in self.metrics:
            if score and (value := score.values.get(metric.name)) is not None:
                number = tag("span", printed(value, self.findings.digits[metric.name]))
                found.append(tag("small", metric.name, " ", number, class_="score"))
        return found

    def _img(
        self, number: int, alt: str, width: int | None = None, height: int | None = None
    ) -> Markup:
        uri = Markup(self.encoded.uris[number])
        return tag("img", src=uri, alt=alt, width=width, height=height)
