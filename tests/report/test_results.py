"""What the results of evaluate say."""

from sense.report import results
from tests.report_runs import read_metrics, write_run


def test_a_model_below_the_one_before_is_said_to_be_below(tmp_path):
    evaluate = read_metrics(write_run(tmp_path), "evaluate")
    evaluate["sets"]["dev"]["models"]["sense"] |= {"ex": 0.5, "wins": 0, "losses": 1, "mcnemar_p": 1.0}
    (dev, _) = results.set_results(evaluate)
    assert (
        dev.conclusion
        == "SENSE is 7.1 points below SFT: 0 questions won and 1 lost (McNemar p = 1.00), no more than chance explains."
    )
