-- Features of a checkout: what the customer did before, and what the shop looked like at that moment.
-- The same text runs over history (offline) and on one request (online).
CREATE TABLE checkout (id string, customer string, shop string, at timestamp, amount double);
CREATE TABLE click (customer string, shop string, at timestamp, kind string);
CREATE TABLE shop (shop string, country string, opened date);

SELECT
  checkout.id,
  checkout.amount,
  hour(checkout.at) AS hour_of_day,
  shop.country,
  count(checkout.id) OVER past_day AS checkouts_1d,
  avg(checkout.amount) OVER past_day AS average_amount_1d,
  checkout.amount / max(checkout.amount) OVER past_day AS share_of_largest_1d,
  distinct_count(checkout.shop) OVER past_week AS shops_7d,
  activity.clicks_1h,
  activity.top_clicks_1h
FROM checkout
LAST JOIN shop ON checkout.shop = shop.shop
LAST JOIN (
  SELECT
    id,
    count(kind) OVER past_hour AS clicks_1h,
    topn_frequency(kind, 2) OVER past_hour AS top_clicks_1h
  FROM (SELECT id, customer, shop, at, CAST(NULL AS string) AS kind FROM checkout)
  WINDOW past_hour AS (
    UNION (SELECT '' AS id, customer, shop, at, kind FROM click)
    PARTITION BY customer ORDER BY at
    ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW
    INSTANCE_NOT_IN_WINDOW
  )
) AS activity ON checkout.id = activity.id
WINDOW
  past_day AS (
    PARTITION BY checkout.customer ORDER BY checkout.at
    ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW MAXSIZE 100
  ),
  past_week AS (
    PARTITION BY checkout.customer ORDER BY checkout.at
    ROWS_RANGE BETWEEN 7d PRECEDING AND CURRENT ROW
  );
