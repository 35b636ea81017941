exec tandem train "$DATA/ratings.csv" --epoch 3
