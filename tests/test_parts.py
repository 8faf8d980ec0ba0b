"""Parts of models, given by name or as objects."""

import keras
import pytest
from conformance import batch

from kzoo.models import GAN
from kzoo.networks import (
    DCGANNetworks,
    MLPNetworks,
    ResNetNetworks,
    StyleGANNetworks,
)
from kzoo.parts import R1, Adaptive, DiffAugment, Hinge, LeCam


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: DCGANNetworks(conditioning="film"), "'concatenation', 'projection'"),
        (lambda: MLPNetworks(normalization="instance"), "'batch', 'layer'"),
        (lambda: ResNetNetworks(generator_normalization="batch"), "'spectral', None"),
        (lambda: MLPNetworks(()), "widths"),
        (lambda: R1(every=0), "every"),
        (lambda: DiffAugment("blur"), "'color', 'translation', 'cutout', 'flip'"),
        (lambda: DiffAugment("color", probability=1.5), "from 0 to 1"),
        (lambda: DiffAugment("color", probability="adaptive"), "from 0 to 1"),
    ],
)
def test_wrong_settings_of_parts_are_named(make, named):
    with pytest.raises(ValueError, match="Expected") as error:
        make()
    assert named in str(error.value)


NAMES = {
    "architecture": "'dcgan', 'mlp', 'resnet', 'stylegan'",
    "loss": "'hinge', 'least_squares', 'minimax'",
    "penalty": "'consistency', 'dragan', 'gradient_penalty'",
    "augmentation": "'color', 'translation', 'cutout', 'flip'",
}


@pytest.mark.one_backend
@pytest.mark.parametrize("argument", NAMES)
@pytest.mark.parametrize("wrong", ["r3", 3, object(), Hinge, [R1(), "r3"]])
def test_what_is_no_part_is_answered_by_the_names(argument, wrong):
    """Neither another name nor another object, nor the class of a part."""
    with pytest.raises(ValueError, match="Expected one of") as error:
        GAN((4, 4, 1), **{argument: wrong})
    assert NAMES[argument] in str(error.value)
    assert argument in str(error.value) and "Received" in str(error.value)


@pytest.mark.one_backend
@pytest.mark.parametrize("argument", NAMES)
def test_a_part_of_another_argument_is_refused(argument):
    other = Hinge() if argument != "loss" else R1()
    with pytest.raises(ValueError, match="Expected one of") as error:
        GAN((4, 4, 1), **{argument: other})
    assert NAMES[argument] in str(error.value)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "argument, name, part",
    [
        ("architecture", "mlp", MLPNetworks()),
        ("architecture", "dcgan", DCGANNetworks()),
        ("architecture", "resnet", ResNetNetworks()),
        ("architecture", "stylegan", StyleGANNetworks()),
        ("loss", "hinge", Hinge()),
        ("penalty", "r1", R1(weight=2.5)),
        ("penalty", ["r1", "lecam"], [R1(), LeCam()]),
        ("augmentation", "color", DiffAugment("color")),
        ("augmentation", ["color", "flip"], DiffAugment("color", "flip")),
    ],
)
def test_a_name_is_the_part_with_its_defaults(argument, name, part):
    configs = [
        GAN((4, 4, 1), 2, name="gan", **{argument: given}).get_config()
        for given in (name, part)
    ]
    assert configs[0] == configs[1]


def test_a_model_keeps_its_parts(tmp_path):
    model = GAN(
        (4, 4, 1),
        2,
        MLPNetworks((8,), dropout=0.1),
        Hinge(),
        penalty=[R1(weight=0.1, every=16), LeCam(0.3)],
        augmentation=Adaptive("color"),
    )
    lecam = model.penalty[1]
    lecam.real.assign(0.25)
    model.augmentation.probability.assign(0.5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.architecture == MLPNetworks((8,), dropout=0.1)
    assert again.loss == Hinge()
    r1, lecam = again.penalty
    assert isinstance(r1, R1) and (r1.weight, r1.every) == (0.1, 16)
    assert isinstance(lecam, LeCam) and lecam.weight == 0.3
    assert isinstance(again.augmentation, Adaptive)
    assert again.augmentation.policies == ("color",)
    assert float(lecam.real) == 0.25 and float(again.augmentation.probability) == 0.5


def test_a_part_belongs_to_one_model():
    lecam, adaptive = LeCam(), Adaptive("color")
    first, second = (
        GAN((4, 4, 1), 2, MLPNetworks((4,)), penalty=lecam, augmentation=adaptive)
        for _ in range(2)
    )
    first.compile()
    first.fit(batch(first)[0], batch_size=8, verbose=0)
    assert float(first.penalty[0].real) != 0
    for other in (second.penalty[0], lecam):
        assert float(other.real) == float(other.fake) == 0
    for other in (second.augmentation, adaptive):
        assert float(other.steps) == 0 != float(first.augmentation.steps)
    owned = {id(v) for v in first.variables} & {id(v) for v in second.variables}
    assert not owned
