"""The main command: one moment of one's own photo, restored by either model."""

from pathlib import Path
from typing import Annotated

import typer

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, Json, Overwrite, Photo, Video, app
from livemoments.cli.printing import print_facts

Sd3Base = Annotated[
    str | None,
    typer.Option(
        "--base", metavar="FOLDER", help="sd3: SD3-medium, for its autoencoder; likewise."
    ),
]
Sd3Official = Annotated[
    bool,
    typer.Option("--official", help="sd3: the release's own choices, to reproduce its numbers."),
]
Sd3Flow = Annotated[
    str,
    typer.Option(
        "--flow", metavar="alignment|dis|raft", help="sd3: where each tile's motion comes from."
    ),
]
Sd3Raft = Annotated[
    Path | None,
    typer.Option("--raft", metavar="FILE", help="sd3: RAFT's weights, with --flow raft."),
]
Sd3Device = Annotated[
    str, typer.Option("--device", metavar="auto|cuda|mps|cpu", help="sd3: where it runs.")
]
Sd3Precision = Annotated[
    str, typer.Option("--precision", metavar="auto|bf16|fp16|float32", help="sd3: arithmetic.")
]
Sd3TileBatch = Annotated[
    int, typer.Option("--tile-batch", metavar="N", help="sd3: tiles at a time; takes memory.")
]
Sd3ReferencePer = Annotated[
    str,
    typer.Option(
        "--reference-per",
        metavar="step|tile",
        help="sd3: how often the key photo is read; once per tile is faster, and an approximation.",
    ),
]
Sd3Compile = Annotated[
    bool, typer.Option("--compile", help="sd3: torch.compile; minutes first, then faster.")
]
Sd3Offload = Annotated[
    str,
    typer.Option(
        "--offload",
        metavar="auto|none|blocks",
        help="sd3: send blocks to a small GPU one by one; slower.",
    ),
]


@app.command(cls=Command)
def restore(
    photo: Photo,
    at_s: Annotated[
        float | None, typer.Option("--at", metavar="SECONDS", help="The frame at this time.")
    ] = None,
    frame: Annotated[
        int | None, typer.Option("--frame", metavar="N", help="The frame with this number, from 0.")
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="The sharpest frame away from the key photo (advice).")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="A .jpg, .png or .heic file, or a folder. Without it: a .jpg beside PHOTO, named"
            " after it and the moment.",
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Write a new Live Photo: the picture with its clip, of the kind that PHOTO is.",
        ),
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="apple|google|samsung|microvideo", help="A Live Photo of this kind."
        ),
    ] = None,
    look: Annotated[
        str,
        typer.Option(metavar="key|frame", help="Tone and colour: of the key photo, or the clip."),
    ] = "key",
    hdr: Annotated[
        bool, typer.Option("--hdr/--no-hdr", help="Keep HDR, where the key photo has it.")
    ] = True,
    faces: Annotated[
        bool,
        typer.Option(
            "--faces/--no-faces",
            help="Restore faces that the key photo shows by the frames around, too.",
        ),
    ] = False,
    video: Video = None,
    model: Annotated[
        str, typer.Option(metavar="compact|sd3", help="Ours; or the paper's, which needs a GPU.")
    ] = "compact",
    steps: Annotated[
        int | None,
        typer.Option(metavar="1..6", help="Of the restoration; more cost time. [1; sd3: 6]"),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the noise: same seed, same picture.")
    ] = 0,
    no_reference: Annotated[
        bool, typer.Option("--no-reference", help="Restore from the frame alone.")
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="A model of your own, from `livemoments export`. For sd3, the published one: a"
            " folder, or its name in the Hugging Face cache.",
        ),
    ] = None,
    quality: Annotated[int, typer.Option(metavar="1..100", help="Of JPEG and HEIC.")] = 95,
    subsampling: Annotated[
        str, typer.Option(metavar="4:2:0|4:4:4", help="Of the colours in JPEG and HEIC.")
    ] = "4:2:0",
    overwrite: Overwrite = False,
    as_json: Json = False,
    base: Sd3Base = None,
    official: Sd3Official = False,
    flow: Sd3Flow = "alignment",
    raft: Sd3Raft = None,
    device: Sd3Device = "auto",
    precision: Sd3Precision = "auto",
    tile_batch: Sd3TileBatch = 1,
    reference_per: Sd3ReferencePer = "step",
    compile_: Sd3Compile = False,
    offload: Sd3Offload = "auto",
) -> None:
    """Restore one moment at the key photo's quality.

    Pick it with --at, --frame or --best; `livemoments frames` shows what there is. PHOTO itself is
    never changed. Where the key photo shows something else than the picked frame, the frame is
    restored without it, and that is said. --live and --to also copy the clip, bit for bit, so that
    phones show the result as a Live Photo.

    --model sd3 is the model of the LiveMoments paper; the options from --base on are for it alone.
    It needs the extra "sd3", the published weights and, to be of use, a GPU: docs/sd3.md.
    """
    from livemoments.jobs.restore import restore_file
    from livemoments.livephoto.writing.output import OutputChoice
    from livemoments.models.sd3.config import PUBLISHED, SD3_MEDIUM, Sd3Config
    from livemoments.moments.choice import MomentChoice
    from livemoments.restoration.config import RestoreConfig

    moment = MomentChoice(at_s=at_s, frame=frame, best=best)
    target = OutputChoice(
        path=output, live=live or kind is not None, format=kind, quality=quality,
        subsampling=subsampling, overwrite=overwrite,
    )  # fmt: skip
    sd3 = Sd3Config(
        weights=weights or PUBLISHED, base=base or SD3_MEDIUM, official=official, flow=flow,
        raft=raft, device=device, precision=precision, batch=tile_batch,
        reference_per=reference_per, compile=compile_, offload=offload,
    )  # fmt: skip
    config = RestoreConfig(
        model=model, steps=steps, seed=seed, use_reference=not no_reference, look=look, hdr=hdr,
        faces=faces,
        weights=Path(weights) if weights else None, sd3=sd3,
    )  # fmt: skip
    with StageProgress() as progress:
        done = restore_file(photo, moment, target, video=video, config=config, progress=progress)
    print_facts(done.to_dict(), as_json=as_json, lines=done.lines())
