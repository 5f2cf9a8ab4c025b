"""One run, a straight line: claim, resolve, freeze, measure, judge, record; then tell, roll back, follow up."""
