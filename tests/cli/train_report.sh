# The JSON of a training holds what was read, what was learnt, and a model that beats popularity.
set -e
jq -e '.read.rows == 100836 and .train.rows < 100836 and .train.last_loss < .train.first_loss
    and .queries == 610 and .parameters > 0 and .train.epochs == 3' "$LOG" >/dev/null
jq -e '.evaluation | .model.queries == .popularity.queries and (.model.at | length) > 2
    and ([.model.at[] | .recall >= 0 and .recall <= 1 and .ndcg <= 1] | all)' "$LOG" >/dev/null
