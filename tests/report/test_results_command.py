"""`sense results` on a terminal of 80 columns."""

import json

import pytest

from sense.cli import main


def model(**rest):
    levels = {level: {"n": 5, "ex": 0.25} for level in ("easy", "medium", "hard", "extra")}
    return {"ex": 0.1234, "ex_low": 0.1, "ex_high": 0.1567, "executable": 0.5, "hardness": levels, "mcnemar_p": 1.21e-05, **rest}


def printed(tmp_path, monkeypatch, capsys, on_set):
    (tmp_path / "evaluate.json").write_text(json.dumps({"sets": {"heldout": on_set}}), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["results", "--metrics", str(tmp_path), "--report", str(tmp_path / "none.html")]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("content", ["{}", "[]", '{"sets": []}', '{"sets": {"dev": 1}}'])
def test_a_file_without_results_is_refused(tmp_path, capsys, content):
    (tmp_path / "evaluate.json").write_text(content, encoding="utf-8")
    assert main(["results", "--metrics", str(tmp_path)]) == 2
    message = f"{tmp_path / 'evaluate.json'}: no metrics of evaluate; run: dvc repro evaluate"
    assert message in capsys.readouterr().err


def test_the_widest_table_fits_into_80_columns(tmp_path, monkeypatch, capsys):
    on_set = {"n": 250, "suite": {"databases": 3}, "models": {"base": model(ts=0.1111), "sense": model(ts=0.1111)}}
    output = printed(tmp_path, monkeypatch, capsys, on_set)
    assert "…" not in output
    row = next(line for line in output.splitlines() if line.split()[:1] == ["sense"])
    assert row.split() == ["sense", "12.3%", "10.0%–15.7%", "11.1%", "50.0%", "25.0%", "25.0%", "25.0%", "25.0%", "1.2e-05"]


def test_a_level_without_questions_has_no_column(tmp_path, monkeypatch, capsys):
    easy = {"easy": {"n": 5, "ex": 1.0}}
    output = printed(tmp_path, monkeypatch, capsys, {"n": 5, "models": {"base": model(hardness=easy, mcnemar_p=None)}})
    assert "easy" in output
    assert "extra" not in output


def test_a_perturbed_set_beside_its_original_fits_into_80_columns(tmp_path, monkeypatch, capsys):
    shares = {"ex": 0.75, "ex_low": 0.5, "ex_high": 1.0, "perturbed_ex": 0.5, "perturbed_ex_low": 0.25, "perturbed_ex_high": 0.75}
    change = {"change": -0.25, "change_low": -0.45, "change_high": -0.05, "wins": 1, "losses": 9, "mcnemar_p": 1.21e-05}
    of_model = model(n=33, original={"n": 32, **shares, **change})
    on_set = {"n": 33, "perturbation": {"kind": "question-keywords", "set": "dev"}, "models": {"sense": of_model}}
    output = printed(tmp_path, monkeypatch, capsys, on_set)
    assert "heldout against the same 32 questions of dev" in output
    rows = [line.split() for line in output.splitlines() if line.split()[:1] == ["sense"]]
    assert rows[1] == ["sense", "75.0%", "50.0%", "−25.0", "−45.0", "to", "−5.0", "1.2e-05"]


def test_modes_and_votes_fit_into_80_columns(tmp_path, monkeypatch, capsys):
    def numbers(*measures):
        return {f"{measure}{end}": 1.0 for measure in measures for end in ("", "_low", "_high")}

    modes = {
        "strict-ts@1": numbers("ex", "ts"),
        "spider-exec@1": numbers("ex", "ts"),
        "bird-ex@1": numbers("ex"),
        "bird-f1@1": numbers("ex", "soft_f1"),
    }
    vote = {"k": 8, "temperature": 1.0, "wins": 3, "losses": 1, "mcnemar_p": 1.21e-05, "right": 0.5, "fell_back": 0}
    of_model = model(n=250, modes=modes, vote={**vote, **numbers("ex", "pass_at_k")})
    on_set = {"n": 250, "mode": "strict@2", "models": {"base": of_model, "sense": of_model}}
    output = printed(tmp_path, monkeypatch, capsys, on_set)
    assert "…" not in output
    rows = [line.split() for line in output.splitlines() if line.split()[:1] == ["sense"]]
    assert rows[1] == ["sense", "12.3%", "100.0%", "100.0%", "100.0%", "100.0%", "100.0%"]
    assert rows[2] == ["sense", "12.3%", "100.0%", "100.0%–100.0%", "1.2e-05", "100.0%", "100.0%–100.0%"]
    lines = output.splitlines()
    number = next(number for number, line in enumerate(lines) if "spider-exec" in line)
    assert lines[number].split() == ["strict", "strict-ts", "spider-exec", "spider-exec", "bird-ex", "bird-f1"]
    assert " ".join(lines[number + 1].split()) == "model @2 EX @1 TS @1 EX @1 TS @1 EX @1 soft F1"
