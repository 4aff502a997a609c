"""The edits on real tensors, judged by the distribution that a sampler draws from afterwards."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto_decoding import Force, Free, Redirect
from tenuto_decoding.logits import Edit, Edits, Sampling

ROWS, VOCABULARY = 5, 40


def apply_edits(logits: torch.Tensor, edits: list[Edit]) -> tuple[list[int], list[bool]]:
    """Apply once, in place; the rows with a redirect, and whether it fired."""
    prepared = Edits(edits, logits)
    prepared.apply(logits)
    return prepared.redirected, prepared.fired()


def random_logits(seed: int, scale: float = 3.0) -> torch.Tensor:
    return torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * scale


def drawn(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Probabilities of one row after temperature, min-p, top-k and top-p, in the order of vLLM's sampler.

    Written in float64 and from the definitions: it is the reference for both sides of a comparison.
    """
    z = logits.double() / sampling.temperature
    if sampling.min_p:
        z = z.masked_fill(z < z.amax() + torch.tensor(sampling.min_p).log(), -torch.inf)
    if sampling.top_k:
        z = z.masked_fill(z < z.sort(descending=True).values[sampling.top_k - 1], -torch.inf)
    p = z.softmax(0)
    if sampling.top_p < 1:
        order = p.argsort(descending=True)
        before = p[order].cumsum(0) - p[order]
        p[order[before >= sampling.top_p]] = 0
    return p / p.sum()


def expected(logits: torch.Tensor, action: Redirect, sampling: Sampling) -> torch.Tensor:
    """What stop-append-resume draws: a source that comes up is replaced by the target."""
    p = drawn(logits, sampling)
    assert action.target is not None
    moved = p[list(action.sources)].sum()
    p[list(action.sources)] = 0
    p[action.target] += moved
    return p


def test_force_leaves_one_token() -> None:
    logits = random_logits(0)
    before = logits.clone()
    apply_edits(logits, [Edit(1, Force(7), Sampling()), Edit(4, Force(9), Sampling())])
    assert logits[1].softmax(0)[7] == 1
    assert logits[4].softmax(0)[9] == 1
    assert torch.equal(logits[[0, 2, 3]], before[[0, 2, 3]])


def test_force_brings_back_a_token_that_was_masked() -> None:
    logits = random_logits(0)
    logits[2, 7] = -torch.inf
    apply_edits(logits, [Edit(2, Force(7), Sampling())])
    assert logits[2].softmax(0)[7] == 1


def test_no_edits_change_nothing() -> None:
    logits = random_logits(0)
    before = logits.clone()
    rows, fired = apply_edits(logits, [])
    assert (rows, fired) == ([], [])
    assert torch.equal(logits, before)


def test_only_redirects_are_reported() -> None:
    rows, _ = apply_edits(random_logits(0), [Edit(0, Free(), Sampling()), Edit(1, Force(3), Sampling())])
    assert rows == []


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 1.5])
@pytest.mark.parametrize("sources", [(3,), (3, 5, 8), tuple(range(20, 35))], ids=["one", "three", "fifteen"])
def test_a_redirect_moves_the_probability(sources: tuple[int, ...], temperature: float) -> None:
    logits, sampling = random_logits(1), Sampling(temperature=temperature)
    before = logits.clone()
    action = Redirect(sources, 11)
    apply_edits(logits, [Edit(2, action, sampling)])
    assert torch.allclose(drawn(logits[2], sampling), expected(before[2], action, sampling), atol=1e-6)
    assert torch.equal(logits[[0, 1, 3, 4]], before[[0, 1, 3, 4]])


def test_greedy_redirects_take_the_maximum() -> None:
    logits = torch.zeros(2, 6)
    logits[:, 1], logits[:, 2] = 3.0, 5.0
    logits[0, 4], logits[1, 4] = 4.0, 6.0
    greedy = Sampling(temperature=0.0)
    rows, fired = apply_edits(logits, [Edit(row, Redirect((1, 2), 4), greedy) for row in (0, 1)])
    assert rows == [0, 1]
    assert fired == [True, False], "the second row's own target was the likeliest"
    assert logits[:, 4].tolist() == [5.0, 6.0]
    assert logits[:, [1, 2]].isneginf().all()


def test_a_redirect_without_target_masks_and_reports_whether_a_source_was_likeliest() -> None:
    logits = torch.zeros(2, 6)
    logits[0, 1], logits[1, 3] = 5.0, 5.0
    _, fired = apply_edits(logits, [Edit(row, Redirect((1, 2), None), Sampling(0.0)) for row in (0, 1)])
    assert fired == [True, False]
    assert logits[:, [1, 2]].isneginf().all()
    assert logits[1, 3] == 5.0


def test_redirects_of_different_widths_share_a_batch() -> None:
    logits, sampling = random_logits(2), Sampling()
    before = logits.clone()
    actions = [Redirect((1,), 9), Redirect((1, 2, 3), 9), Redirect((4, 5), None)]
    apply_edits(logits, [Edit(row, action, sampling) for row, action in enumerate(actions)])
    for row in (0, 1):
        assert torch.allclose(drawn(logits[row], sampling), expected(before[row], actions[row], sampling), atol=1e-6)
    assert logits[2, [4, 5]].isneginf().all()


def test_a_source_that_is_masked_already_moves_nothing() -> None:
    logits, sampling = random_logits(3), Sampling()
    logits[0, [3, 4]] = -torch.inf
    before = logits.clone()
    _, fired = apply_edits(logits, [Edit(0, Redirect((3, 4), 9), sampling)])
    assert torch.allclose(logits[0], before[0])
    assert fired == [False]


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.5, 1.0, 1.3]),
    top_k=st.sampled_from([0, 1, 2, 3, 5, 10, VOCABULARY]),
    top_p=st.sampled_from([0.05, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0]),
)


@settings(max_examples=600)
@given(
    st.integers(0, 10**6), samplings, st.lists(st.integers(0, 19), min_size=1, max_size=4, unique=True), st.booleans()
)
def test_filters_keep_what_they_would_have_kept(
    seed: int, sampling: Sampling, sources: list[int], likely: bool
) -> None:
    """With top-k and top-p the draw is still that of stop-append-resume, wherever sources and target rank."""
    logits = random_logits(seed)
    if likely:
        logits[0, sources[0]] += 6.0
    before = logits.clone()
    action = Redirect(tuple(sources), 25)
    apply_edits(logits, [Edit(0, action, sampling)])
    assert torch.allclose(drawn(logits[0], sampling), expected(before[0], action, sampling), atol=1e-5)


def test_without_that_care_top_k_would_let_another_token_in() -> None:
    """Why the filters are looked at: the plain formula frees a rank for a token that could never have been drawn."""
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]])
    filtered, plain = Sampling(top_k=3), Sampling()
    careful, careless = logits.clone(), logits.clone()
    apply_edits(careful, [Edit(0, Redirect((0,), 1), filtered)])
    apply_edits(careless, [Edit(0, Redirect((0,), 1), plain)])
    assert drawn(careless[0], filtered)[3] > 0
    assert drawn(careful[0], filtered)[3] == 0


@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.1, 0.3]))
def test_min_p_is_exact_unless_the_target_becomes_the_likeliest(seed: int, min_p: float) -> None:
    logits, sampling, action = random_logits(seed), Sampling(min_p=min_p), Redirect((3, 5), 25)
    before = logits.clone()
    wanted = expected(before[0], action, sampling)
    apply_edits(logits, [Edit(0, action, sampling)])
    if wanted.argmax() != 25:
        assert torch.allclose(drawn(logits[0], sampling), wanted, atol=1e-5)
    assert drawn(logits[0], sampling)[[3, 5]].sum() == 0


def test_masked_tokens_stay_masked_whatever_the_filter() -> None:
    """The mass that top-p cuts is laid on tokens it cuts again; none of them may be one that was ruled out before."""
    logits = random_logits(5)
    logits[0, 30:] = -torch.inf
    apply_edits(logits, [Edit(0, Redirect((3,), 11), Sampling(top_p=0.5))])
    assert logits[0, 30:].isneginf().all()
