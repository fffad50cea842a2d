-- Clicks on advertisements; is_attributed says whether the application was installed afterwards.
CREATE TABLE IF NOT EXISTS clicks (
    ip int, app int, device int, os int, channel int, click_time timestamp, is_attributed int
);
