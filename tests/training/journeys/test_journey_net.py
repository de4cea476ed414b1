import pytest
import torch
from torch import Tensor
from torch.nn import functional

from penchant.clients.journey_contract import HOURS
from penchant.training.journeys.event_times import UNKNOWN_HOUR, event_hour, time_bucket
from penchant.training.journeys.journey_net import ItemContent, JourneyNet, JourneySizes, drop
from penchant.training.journeys.journey_recipe import JourneyNetworkConfig

CONFIG = JourneyNetworkConfig(window=6, profile=4, width=8, num_blocks=2, num_heads=2, dropout=0.0)
FULL = JourneySizes(
    num_item_codes=20,
    num_actions=3,
    num_channels=2,
    num_category_codes=6,
    num_brand_codes=4,
    num_price_codes=3,
    text_size=5,
)
ORDER_ONLY = JourneySizes(num_item_codes=20, num_actions=1, has_clock=False)


def small_net(sizes: JourneySizes, config: JourneyNetworkConfig = CONFIG) -> JourneyNet:
    torch.manual_seed(0)
    code = torch.arange(20)
    content = ItemContent(
        category=code % 5 + 1,
        brand=code % 4,
        price=code % 3,
        text=torch.randn(20, sizes.text_size),
    )
    net = JourneyNet(sizes, config, content)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return net.eval()


def histories(rows: int = 5, *, sizes: JourneySizes = FULL) -> tuple[Tensor, ...]:
    """Codes of full histories: item, action, channel, age and hour."""
    length = CONFIG.length
    age = torch.rand(rows, length).cumsum(1).flip(1) * 40_000.0
    return (
        torch.randint(0, 20, (rows, length), dtype=torch.int32),
        torch.randint(1, sizes.num_actions + 1, (rows, length), dtype=torch.int32),
        torch.randint(0, 3, (rows, length), dtype=torch.int32),
        age,
        torch.rand(rows, 1) * HOURS,
    )


def all_states(net: JourneyNet, inputs: tuple[Tensor, ...]) -> Tensor:
    """Hidden states (B, W, Z) of the forward pass that training uses."""
    item, action, channel, age, now_hour = inputs
    start = net.config.profile
    met = (item > 0).float()
    vectors = functional.embedding(item, net.item_table()) * met.unsqueeze(2)
    states: Tensor = net(
        vectors[:, :start].sum(1),
        met[:, :start].sum(1, keepdim=True),
        vectors[:, start:],
        action[:, start:],
        channel[:, start:] if net.sizes.num_channels else None,
        age[:, start:],
        now_hour,
    )
    return states


@pytest.mark.parametrize("sizes", [FULL, ORDER_ONLY], ids=["full", "order"])
def test_the_newest_state_is_the_last_of_the_training_pass(sizes: JourneySizes) -> None:
    net = small_net(sizes)
    inputs = histories(sizes=sizes)
    item, action, channel, age, now_hour = inputs
    newest = net.last(item, action, channel if sizes.num_channels else None, age, now_hour)
    assert newest.shape == (5, net.hidden_size)
    torch.testing.assert_close(newest, all_states(net, inputs)[:, -1], atol=1e-5, rtol=1e-4)


def test_no_state_sees_what_comes_later() -> None:
    net = small_net(FULL)
    inputs = histories()
    before = all_states(net, inputs)
    changed = [each.clone() for each in inputs]
    changed[0][:, -2:] = (changed[0][:, -2:] + 7) % 20
    changed[1][:, -2:] = changed[1][:, -2:] % 3 + 1
    changed[2][:, -2:] = (changed[2][:, -2:] + 1) % 3
    after = all_states(net, tuple(changed))
    torch.testing.assert_close(before[:, :-2], after[:, :-2])
    assert not torch.allclose(before[:, -2], after[:, -2])


def test_a_state_knows_the_time_of_the_request_but_the_habit_does_not() -> None:
    net = small_net(FULL)
    item, action, channel, age, now_hour = histories()
    wait = 3 * 86_400.0
    later = net.last(item, action, channel, age + wait, (now_hour + wait / 3600) % HOURS)
    now = net.last(item, action, channel, age, now_hour)
    assert not torch.allclose(net.query(later, action[:, 0]), net.query(now, action[:, 0]))
    torch.testing.assert_close(net.hour_logits(later), net.hour_logits(now), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        net.channel_logits(later), net.channel_logits(now), atol=1e-5, rtol=1e-4
    )


def test_padding_in_front_changes_nothing() -> None:
    net = small_net(FULL)
    inputs = histories()
    for each in inputs[:4]:
        each[:, :-3] = 0
    item, action, channel, age, now_hour = inputs
    kept = [torch.cat([each[:, :4], each[:, -3:]], 1) for each in inputs[:4]]
    short = net.last(kept[0], kept[1], kept[2], kept[3], now_hour)
    torch.testing.assert_close(
        net.last(item, action, channel, age, now_hour), short, atol=1e-5, rtol=1e-4
    )


def test_what_lies_in_padding_does_not_count() -> None:
    net = small_net(FULL)
    inputs = histories()
    inputs[1][:, :-3] = 0
    cleared = [each.clone() for each in inputs]
    for each in (cleared[0], cleared[2]):
        each[:, :-3] = 0
    torch.testing.assert_close(net.last(*inputs), net.last(*cleared))


@pytest.mark.parametrize("sizes", [FULL, ORDER_ONLY], ids=["full", "order"])
def test_an_empty_history_gives_finite_answers(sizes: JourneySizes) -> None:
    net = small_net(sizes)
    nothing = torch.zeros(2, CONFIG.length, dtype=torch.int32)
    hidden = net.last(
        nothing,
        nothing,
        nothing if sizes.num_channels else None,
        nothing.float(),
        torch.full((2, 1), -1.0),
    )
    query = net.query(hidden, torch.ones(2, dtype=torch.int32))
    answers = [net.item_logits(query), net.purchase_logit(hidden)]
    answers += [net.hour_logits(hidden)] if sizes.has_clock else []
    for answer in answers:
        assert answer.isfinite().all()
    torch.testing.assert_close(query[0], query[1])


def test_older_events_are_told_from_none_and_their_order_does_not_count() -> None:
    net = small_net(FULL)
    inputs = histories()
    turned = [each.clone() for each in inputs]
    for each in turned[:4]:
        each[:, :4] = each[:, :4].flip(1)
    none = [each.clone() for each in inputs]
    for each in none[:4]:
        each[:, :4] = 0
    torch.testing.assert_close(net.last(*inputs), net.last(*turned), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(net.last(*inputs), net.last(*none))


def test_folded_item_vectors_answer_alike() -> None:
    net = small_net(FULL)
    folded = net.folded()
    inputs = histories()
    torch.testing.assert_close(net.last(*inputs), folded.last(*inputs))
    torch.testing.assert_close(net.item_table(), folded.item_table())


def test_cosine_queries_have_the_length_of_the_temperature() -> None:
    config = JourneyNetworkConfig(**{**vars(CONFIG), "similarity": "cosine", "temperature": 0.1})
    net = small_net(FULL, config)
    query = net.query(net.last(*histories()), torch.ones(5, dtype=torch.int32))
    torch.testing.assert_close(query.norm(dim=1), torch.full((5,), 10.0))
    assert net.item_logits(query).abs().max() <= 10.0 + 1e-4


def test_an_item_that_is_not_known_goes_by_its_content() -> None:
    net = small_net(FULL)
    net.items.known[3:5] = 0.0
    for name in ("category", "brand", "price"):
        assert not torch.allclose(net.item_table()[3], net.item_table()[4]), f"but for {name}"
        net.items.code_of(name)[3] = net.items.code_of(name)[4]
    net.items.text_of_code[3] = net.items.text_of_code[4]
    table = net.item_table()
    torch.testing.assert_close(table[3], table[4])
    assert not torch.allclose(table[5], table[10])


@pytest.mark.parametrize("name", ["category", "brand", "price", "text"])
def test_each_thing_that_is_known_of_an_item_moves_its_vector_alone(name: str) -> None:
    net = small_net(FULL)
    before = net.item_table().clone()
    codes = net.items.text_of_code if name == "text" else net.items.code_of(name)
    codes[7] = codes[8]
    moved = (net.item_table() != before).any(1)
    assert moved.nonzero()[:, 0].tolist() == [7]


def test_it_exports_with_any_number_of_visitors() -> None:
    class Newest(torch.nn.Module):
        def __init__(self, net: JourneyNet) -> None:
            super().__init__()
            self.net = net

        def forward(self, *inputs: Tensor) -> Tensor:
            return self.net.last(*inputs)

    net = small_net(FULL)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        Newest(net), histories(3), dynamic_shapes=(tuple({0: batch} for _ in range(5)),)
    )
    for rows in (1, 7):
        inputs = histories(rows)
        torch.testing.assert_close(program.module()(*inputs), net.last(*inputs))


def test_times_go_into_logarithmic_buckets() -> None:
    bucket = time_bucket(torch.tensor([0.0, 1.0, 2.0, 3600.0, 86_400.0, 1e9, 1e12]))
    assert bucket.tolist() == [0, 0, 2, 27, 37, 68, 69]


def test_an_events_hour_goes_back_from_now() -> None:
    age = torch.tensor([[0.0, 3600.0, 86_400.0 * 7, 1e6]])
    assert event_hour(age, torch.tensor([[0.5]])).tolist() == [[0, 167, 0, 58]]
    assert (event_hour(age, torch.tensor([[-1.0]])) == UNKNOWN_HOUR).all()


def test_dropping_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = drop(torch.ones(1000, 101), 0.25)
    assert abs(float(dropped.mean()) - 1.0) < 0.01
    assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.01
