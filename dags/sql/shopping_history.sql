-- What a customer did before, and where: one query, which can be deployed as it stands.
SELECT
  checkout.id,
  shop.country,
  count(checkout.id) OVER past_day AS checkouts_1d,
  avg(checkout.amount) OVER past_day AS average_amount_1d
FROM checkout
LAST JOIN shop ON checkout.shop = shop.shop
WINDOW past_day AS (
  PARTITION BY checkout.customer ORDER BY checkout.at
  ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW
);
