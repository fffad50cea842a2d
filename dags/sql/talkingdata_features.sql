-- How busy an address is, in all, with one application, and from one kind of device. The first ten columns are those of
-- the TalkingData demo; hours and days are those of the advertisers, UTC+8.
SELECT
    is_attributed,
    app,
    device,
    os,
    channel,
    hour(click_time) AS hour,
    day(click_time) AS day,
    count(channel) OVER ip_hour AS qty,
    count(channel) OVER ip_app AS ip_app_count,
    count(channel) OVER ip_app_os AS ip_app_os_count,
    count(channel) OVER ip_app_hour AS ip_app_hour_count,
    count(channel) OVER ip_day AS ip_day_count
FROM clicks
WINDOW
    ip_hour AS (PARTITION BY ip ORDER BY click_time ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW),
    ip_app AS (PARTITION BY ip, app ORDER BY click_time ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
    ip_app_os AS (PARTITION BY ip, app, os ORDER BY click_time ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
    ip_app_hour AS (PARTITION BY ip, app ORDER BY click_time ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW),
    ip_day AS (PARTITION BY ip ORDER BY click_time ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW);
