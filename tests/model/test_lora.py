import pytest
import torch
from models import small_model
from torch.nn.utils import parametrize

from cursivetransformer.config import ConfigError
from cursivetransformer.model.decode import KVCache, advance
from cursivetransformer.model.lora import add_authors, add_hand, build_model, in_hand


def test_a_hand_that_is_added_changes_nothing_for_the_others():
    for options in {}, dict(authors=("Ann", "Bo")):
        model = small_model(**options)
        idx = torch.randint(0, 525, (2, 20))
        context = torch.randint(1, 72, (2, 8))
        if not options:
            add_authors(model, ("Ann",))
        with torch.no_grad():
            before = model(idx, context)[0]
            for name in "Cy", "Di":
                add_hand(model, name)
                with in_hand(model, name):
                    torch.testing.assert_close(model(idx, context)[0], before)  # begins as the first
                learning = [p for p in model.parameters() if p.requires_grad]
                for p in learning:
                    torch.nn.init.normal_(p, std=0.1)
                torch.testing.assert_close(model(idx, context)[0], before)
            assert model.authors == (*model.config.authors, "Cy", "Di")
            answers = {}
            for name in model.authors:
                with in_hand(model, name), parametrize.cached():
                    answers[name] = model(idx, context)[0]
                    cache = KVCache(model, context, 20)
                    steps = [advance(model, idx[:, i : i + 1], cache) for i in range(20)]
                torch.testing.assert_close(torch.stack(steps, 1), answers[name], atol=1e-4, rtol=1e-4)
            assert all(
                (answers[a] - answers[b]).abs().max() > 0.01
                for a in ("Ann", "Cy", "Di")
                for b in ("Ann", "Cy", "Di")
                if a < b
            )
            torch.testing.assert_close(model(idx, context)[0], before)
            again = build_model(model.config).eval()
            again.load_state_dict(model.state_dict())
            with in_hand(again, "Cy"):
                torch.testing.assert_close(again(idx, context)[0], answers["Cy"], atol=1e-5, rtol=1e-5)
        with pytest.raises(ConfigError, match="Did you mean 'Ann'"), in_hand(model, "Amn"):
            pass
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(
            p.numel() for p in learning
        )  # the last one learns


def test_new_authors_leave_the_old_hands_as_they_were():
    model = small_model()
    idx = torch.randint(0, 525, (2, 20))
    context = torch.randint(1, 72, (2, 8))
    with torch.no_grad():
        before = model(idx, context)[0]
        add_authors(model, ("Ann",))
        assert model.config.authors == ("Ann",) and "wae" not in model.transformer
        add_authors(model, ("Bo", "Ann"))
        assert model.config.authors == ("Ann", "Bo")
        torch.testing.assert_close(model(idx, context)[0], before)
        torch.nn.init.normal_(model.transformer["wae"].weight)
        ann = model(idx, context)[0]
        add_authors(model, ("Cy",))
        torch.testing.assert_close(model(idx, context)[0], ann)
        assert len(model.transformer["wae"].weight) == 3
