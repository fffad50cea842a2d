-- Tables, a load, and features into a folder: as such scripts are written for a server of their own.
CREATE DATABASE IF NOT EXISTS shop_script;
USE shop_script;
CREATE TABLE IF NOT EXISTS checkout (id string, customer string, shop string, at timestamp, amount double);
LOAD DATA INFILE '/data/shop/checkout.csv' INTO TABLE checkout OPTIONS (format = 'csv', header = true, mode = 'overwrite');
SELECT
  id,
  count(id) OVER past_day AS checkouts_1d,
  avg(amount) OVER past_day AS average_amount_1d
FROM checkout
WINDOW past_day AS (PARTITION BY customer ORDER BY at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)
INTO OUTFILE '/data/output/shopping_script' OPTIONS (format = 'parquet', mode = 'overwrite');
