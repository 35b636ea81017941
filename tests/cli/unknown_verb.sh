exec tandem recomend model
