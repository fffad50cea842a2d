-- What is known about a request at its moment: 42 columns, in the order of the JD demo. One text for history, where it
-- makes the training set, and for single requests, where it is deployed. `label` is what came of the request; a request
-- that is being answered has none yet.
SELECT * FROM (
    SELECT
        reqId AS request_1,
        eventTime AS event_time,
        reqId AS request_text,
        pair_id AS pair_id,
        sku_id AS sku_id,
        user_id AS user_id,
        distinct_count(pair_id) OVER user_rows AS user_pairs_rows,
        top1_ratio(pair_id) OVER user_rows AS user_pair_share_rows,
        top1_ratio(pair_id) OVER user_14d AS user_pair_share_14d,
        distinct_count(pair_id) OVER user_14d AS user_pairs_14d,
        CASE WHEN !isnull(at(pair_id, 0)) OVER user_rows
             THEN count_where(pair_id, pair_id = at(pair_id, 0)) OVER user_rows ELSE NULL END AS pair_count_rows,
        dayofweek(timestamp(eventTime)) AS day_of_week,
        CASE WHEN 1 < dayofweek(timestamp(eventTime)) AND dayofweek(timestamp(eventTime)) < 7
             THEN 1 ELSE 0 END AS working_day
    FROM flattenRequest
    WINDOW user_rows AS (PARTITION BY user_id ORDER BY eventTime ROWS BETWEEN 10 PRECEDING AND 0 PRECEDING),
        user_14d AS (PARTITION BY user_id ORDER BY eventTime
            ROWS_RANGE BETWEEN 14d PRECEDING AND 0s PRECEDING MAXSIZE 200)
) AS requests
LAST JOIN (
    SELECT
        flattenRequest.reqId AS request_2,
        labels.actionValue AS label,
        products.a1 AS product_a1,
        products.a2 AS product_a2,
        products.a3 AS product_a3,
        products.br AS product_br,
        products.cate AS product_cate,
        products.ingestionTime AS product_time,
        users.age AS user_age,
        users.ingestionTime AS user_time,
        users.sex AS user_sex,
        users.user_lv_cd AS user_level
    FROM flattenRequest
    LAST JOIN action AS labels ON flattenRequest.reqId = labels.reqId
    LAST JOIN bo_product AS products ON flattenRequest.sku_id = products.sku_id
    LAST JOIN bo_user AS users ON flattenRequest.user_id = users.user_id
) AS lookups ON requests.request_1 = lookups.request_2
LAST JOIN (
    SELECT
        reqId AS request_3,
        max(bad_comment_rate) OVER comments_64d AS rate_max_64d,
        min(bad_comment_rate) OVER comments_rows AS rate_min_rows,
        min(bad_comment_rate) OVER comments_64d AS rate_min_64d,
        distinct_count(comment_num) OVER comments_64d AS comment_nums_64d,
        distinct_count(has_bad_comment) OVER comments_64d AS has_bads_64d,
        topn_frequency(has_bad_comment, 3) OVER comments_64d AS has_bad_top_64d,
        topn_frequency(comment_num, 3) OVER comments_64d AS comment_num_top_64d
    FROM (SELECT eventTime AS ingestionTime, bigint(0) AS dt, sku_id, int(0) AS comment_num, '' AS has_bad_comment,
              float(0) AS bad_comment_rate, reqId FROM flattenRequest)
    WINDOW comments_64d AS (
            UNION (SELECT ingestionTime, dt, sku_id, comment_num, has_bad_comment, bad_comment_rate, '' AS reqId
                FROM bo_comment)
            PARTITION BY sku_id ORDER BY ingestionTime
            ROWS_RANGE BETWEEN 64d PRECEDING AND 0s PRECEDING MAXSIZE 100 INSTANCE_NOT_IN_WINDOW),
        comments_rows AS (
            UNION (SELECT ingestionTime, dt, sku_id, comment_num, has_bad_comment, bad_comment_rate, '' AS reqId
                FROM bo_comment)
            PARTITION BY sku_id ORDER BY ingestionTime
            ROWS BETWEEN 10 PRECEDING AND 0 PRECEDING INSTANCE_NOT_IN_WINDOW)
) AS comments ON requests.request_1 = comments.request_3
LAST JOIN (
    SELECT
        reqId AS request_4,
        topn_frequency(br, 3) OVER actions_10h AS br_top_10h,
        topn_frequency(cate, 3) OVER actions_10h AS cate_top_10h,
        topn_frequency(model_id, 3) OVER actions_7d AS model_top_7d,
        distinct_count(model_id) OVER actions_14d AS models_14d,
        distinct_count(model_id) OVER actions_7d AS models_7d,
        distinct_count(type) OVER actions_14d AS types_14d,
        topn_frequency(type, 3) OVER actions_7d AS type_top_7d,
        topn_frequency(type, 3) OVER actions_14d AS type_top_14d
    FROM (SELECT eventTime AS ingestionTime, pair_id, bigint(0) AS time, '' AS model_id, '' AS type, '' AS cate,
              '' AS br, reqId FROM flattenRequest)
    WINDOW actions_10h AS (
            UNION (SELECT ingestionTime, pair_id, time, model_id, type, cate, br, '' AS reqId FROM bo_action)
            PARTITION BY pair_id ORDER BY ingestionTime
            ROWS_RANGE BETWEEN 10h PRECEDING AND 0s PRECEDING MAXSIZE 100 INSTANCE_NOT_IN_WINDOW),
        actions_7d AS (
            UNION (SELECT ingestionTime, pair_id, time, model_id, type, cate, br, '' AS reqId FROM bo_action)
            PARTITION BY pair_id ORDER BY ingestionTime
            ROWS_RANGE BETWEEN 7d PRECEDING AND 0s PRECEDING MAXSIZE 100 INSTANCE_NOT_IN_WINDOW),
        actions_14d AS (
            UNION (SELECT ingestionTime, pair_id, time, model_id, type, cate, br, '' AS reqId FROM bo_action)
            PARTITION BY pair_id ORDER BY ingestionTime
            ROWS_RANGE BETWEEN 14d PRECEDING AND 0s PRECEDING MAXSIZE 100 INSTANCE_NOT_IN_WINDOW)
) AS actions ON requests.request_1 = actions.request_4
