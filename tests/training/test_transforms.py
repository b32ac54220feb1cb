"""The batched augmentation against torchvision's own functions, image by image."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from lit_video.training.transforms import (
    ADJUSTMENTS,
    ATTEMPTS,
    Draws,
    ExerciseTransform,
    NoTransform,
    color_jitter,
    crop_boxes,
    resized_crop,
)

THEIRS = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)


def random_images(count=4, height=32, width=40):
    return torch.rand((count, 3, height, width), generator=torch.Generator().manual_seed(0))


def draws(positions, seed=0, epoch=0):
    return Draws(seed, epoch, np.asarray(positions))


@pytest.mark.parametrize("number", range(4), ids=["brightness", "contrast", "saturation", "hue"])
@pytest.mark.parametrize("amount", [-0.5, -0.2, 0.0, 0.3, 0.5])
def test_each_adjustment_is_torchvisions(number, amount):
    images = random_images()
    images[0] = 0.5  # grey has no hue
    found = ADJUSTMENTS[number](images.clone(), torch.full((4, 1, 1, 1), amount))
    factor = amount if number == 3 else 1 + amount
    assert torch.allclose(found, torch.stack([THEIRS[number](image, factor) for image in images]), atol=1e-5)


def test_jitter_gives_each_image_its_own_factors_and_order():
    images, numbers = random_images(8), np.random.default_rng(0).random((8, 8))
    found = color_jitter(images.clone(), 0.5, numbers)
    for image, row, result in zip(images, numbers, found, strict=True):
        for step in np.argsort(row[4:]):
            amount = (2 * row[step] - 1) * 0.5
            image = THEIRS[step](image, amount if step == 3 else 1 + amount)
        assert torch.allclose(result, image, atol=2e-5)
    assert len({tuple(np.argsort(row[4:])) for row in numbers}) > 3


def test_a_box_that_is_all_changes_nothing():
    images = random_images(height=40)
    assert torch.allclose(resized_crop(images, np.array([[0, 0, 40, 40]] * 4), 40), images, atol=1e-5)


def test_crop_is_bilinear():
    images, box = random_images(height=40), [3, 5, 30, 30]
    found = resized_crop(images, np.array([box] * 4), 60)
    expected = F.resized_crop(images, *box, size=[60, 60], antialias=False)
    assert torch.allclose(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-4)


def test_each_image_has_its_own_box():
    images = random_images(height=40)
    boxes = np.array([[0, 0, 20, 20], [20, 0, 20, 20], [0, 20, 20, 20], [20, 20, 20, 20]])
    found = resized_crop(images, boxes, 20)
    for image, (top, left, h, w), result in zip(images, boxes, found, strict=True):
        assert torch.allclose(result, image[:, top : top + h, left : left + w], atol=1e-5)


def test_boxes_keep_share_and_shape_and_lie_within():
    numbers = np.random.default_rng(0).random((4000, 2 * ATTEMPTS + 2))
    top, left, h, w = crop_boxes((224, 224), (0.3, 0.6), (3 / 4, 4 / 3), numbers).T
    assert min(top.min(), left.min()) == 0
    assert (top + h).max() == (left + w).max() == 224
    share = h * w / 224**2
    assert share.min() > 0.29
    assert share.max() < 0.61
    assert (w / h).min() > 0.74
    assert (w / h).max() < 1.35


@pytest.mark.parametrize("picture", [(224, 224), (180, 200), (180, 320), (320, 100)], ids=str)
def test_boxes_are_distributed_as_torchvisions(picture):
    from torchvision.transforms.v2 import RandomResizedCrop

    numbers = np.random.default_rng(0).random((4000, 2 * ATTEMPTS + 2))
    ours = crop_boxes(picture, (0.9, 1.0), (3 / 4, 4 / 3), numbers)
    crop, image = RandomResizedCrop(224, scale=(0.9, 1.0)), torch.zeros(3, *picture)
    torch.manual_seed(0)
    made = [crop.make_params([image]) for _ in range(4000)]
    theirs = np.array([[params[name] for name in ("top", "left", "height", "width")] for params in made])
    for column in range(4):
        a, b = ours[:, column], theirs[:, column]
        assert abs(a.mean() - b.mean()) <= 4.5 * np.sqrt((a.var() + b.var()) / 4000)  # exceeded 7 times in a million
        assert a.std() == pytest.approx(b.std(), rel=0.15)


def test_what_shrinks_is_smoothed_as_torchvision_does():
    from torchvision.transforms.v2.functional import resized_crop as theirs

    images = random_images(3, 200, 160)
    boxes = np.array([[10, 20, 150, 120], [0, 0, 200, 160], [3, 5, 40, 30]])  # the last one grows
    found = resized_crop(images, boxes, 48)
    for number in (0, 1):
        expected = theirs(images[number], *boxes[number].tolist(), [48, 48], antialias=True)
        assert torch.allclose(found[number], expected, atol=1e-6)
    assert torch.equal(found[2], resized_crop(images[2:], boxes[2:], 48)[0]), "whatever batch it is in"


def test_result_is_float_of_the_asked_size():
    images = torch.randint(0, 256, (5, 3, 50, 60), dtype=torch.uint8)
    found = ExerciseTransform(size=32)(images, draws(range(5)))
    assert found.dtype == torch.float32
    assert found.shape == (5, 3, 32, 32)
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_sample_gets_the_same_whatever_batch_it_is_in():
    images = torch.randint(0, 256, (20, 3, 40, 40), dtype=torch.uint8)
    transform = ExerciseTransform(size=40)
    whole = transform(images, draws(range(100, 120)))
    some = [17, 3, 11]
    assert torch.allclose(transform(images[some], draws([117, 103, 111])), whole[some], atol=1e-6)


def test_seed_epoch_and_position_change_it():
    images = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    transform = ExerciseTransform(size=40)
    results = [transform(images, d) for d in (draws([0]), draws([1]), draws([0], seed=1), draws([0], epoch=1))]
    assert all(not torch.equal(a, b) for n, a in enumerate(results) for b in results[:n])


def test_images_are_not_written_to():
    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    before = images.clone()
    ExerciseTransform(size=40)(images, draws(range(3)))
    assert torch.equal(images, before)
    assert NoTransform()(images, draws(range(3))) is images


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"scale": [0.9]}, "scale must be two numbers above 0"),
        ({"scale": [0.5, 1.5]}, "scale must be at most 1"),
        ({"ratio": [2, 1]}, "ratio must be two numbers above 0, the smaller one first"),
    ],
)
def test_refuses_arguments_out_of_range(arguments, told):
    with pytest.raises(ValueError, match=told):
        ExerciseTransform(**arguments)


def test_refuses_a_jitter_that_hue_has_no_room_for():
    with pytest.raises(ValueError, match=r"jitter must be in \[0, 0\.5\], got 0\.6"):
        ExerciseTransform(jitter=0.6)
