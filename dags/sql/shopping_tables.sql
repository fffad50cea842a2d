-- The tables of the shopping example. An index declares how a deployment of the features will look rows up.
CREATE TABLE IF NOT EXISTS checkout (
  id string NOT NULL,
  customer string NOT NULL,
  shop string,
  at timestamp NOT NULL,
  amount double,
  INDEX(KEY=customer, TS=at)
);
CREATE TABLE IF NOT EXISTS click (
  customer string NOT NULL,
  shop string,
  at timestamp NOT NULL,
  kind string,
  INDEX(KEY=customer, TS=at)
);
CREATE TABLE IF NOT EXISTS shop (shop string NOT NULL, country string, opened date, INDEX(KEY=shop));
