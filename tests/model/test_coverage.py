import torch
from models import small_model

from cursivetransformer.config import preset
from cursivetransformer.model.coverage import (
    CONV_CHANNELS,
    CONV_REACH,
    OLD_NAMES,
    Coverage,
)


def test_coverage_is_the_sum_of_what_the_layer_below_looked_at():
    "Against loops over layers, heads, tokens and characters."
    model = small_model(n_layer=3)
    looked = []

    def watch(weights, mask):
        looked.append(weights)
        return weights

    for block in model.transformer.h:
        block.cross_attn.weight_hooks = (watch,)
    with torch.no_grad():
        model(torch.randint(0, 525, (2, 9)), torch.randint(1, 72, (2, 7)))
        for layer in 1, 2:
            coverage = model.transformer.h[layer].cross_attn.coverage
            lower, own = looked[layer - 1], looked[layer]
            seen = coverage.seen(lower)
            scores = coverage.scores(seen)
            progress = coverage.progress(own, seen)
            for b in range(2):
                sums = torch.zeros(8)  # seven characters and the end mark
                for t in range(9):
                    torch.testing.assert_close(seen[b, t], sums)
                    torch.testing.assert_close(scores[b, :, t], plain_scores(coverage, sums))
                    torch.testing.assert_close(progress[b, t], plain_progress(coverage, own[b, :, t], sums))
                    for h in range(2):
                        share = coverage.lower_heads.softmax(0)[h]
                        sums = sums + share * lower[b, h, t] / coverage.tokens_per_character


def plain_scores(coverage, sums):
    features = torch.zeros(CONV_CHANNELS, 8)
    for f in range(CONV_CHANNELS):
        for s in range(8):
            features[f, s] = coverage.conv_bias[f]
            for o in range(-CONV_REACH, CONV_REACH + 1):
                if 0 <= s + o < 8:
                    features[f, s] += coverage.conv_weight[f, CONV_REACH + o] * sums[s + o]
    return coverage.score_weight.T @ features.tanh()


def plain_progress(coverage, weights, sums):
    done = sum(coverage.own_heads.softmax(0)[h] * weights[h] @ sums for h in range(2))
    return done * coverage.stream_weight[0] + done.tanh() * coverage.stream_weight[1]


def test_parameters_load_under_their_old_names():
    coverage = small_model().transformer.h[1].cross_attn.coverage
    old = {name: coverage.state_dict()[new] for name, new in OLD_NAMES.items()}
    again = Coverage(preset("debug"))
    again.load_state_dict(old)
    for name, value in coverage.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
