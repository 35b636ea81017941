/* detect_test.c -- formats, header lines and columns are told as detect.h says. */
#include "support/test.h"

#include "data/detect.h"

typedef struct example {
    const char *text;
    td_text_format format;
    bool header;
} example;

static const example examples[] = {
    {"userId,movieId,rating,timestamp\r\n1,1,4.0,964982703\r\n", TD_FORMAT_CSV, true},
    {"1,1,4.0,964982703\n1,3,4.0,964981247\n", TD_FORMAT_CSV, false},
    {"u1,i1\nu2,i2\n", TD_FORMAT_CSV, false},
    {"u1,i1,5\nu2,i2,4\n", TD_FORMAT_CSV, false},
    {"who,what,much\nu2,i2,4\nu3,i2,5\n", TD_FORMAT_CSV, true},
    {"user,item", TD_FORMAT_CSV, true},
    {"a,b", TD_FORMAT_CSV, false},
    {"movieId,title,genres\n1,Toy Story (1995),Adventure|Animation\n2,Jumanji "
     "(1995),Adventure|Fantasy\n"
     "11,\"American President, The (1995)\",Comedy|Drama\n",
     TD_FORMAT_CSV, true},
    {"movieId,title\n1,\"A\n\nB\"\n2,\"C,\nD\"\n", TD_FORMAT_CSV, true},
    {"196\t242\t3\t881250949\n186\t302\t3\t891717742\n", TD_FORMAT_TSV, false},
    {"user_id:token\titem_id:token\trating:float\n1\t2\t3\n", TD_FORMAT_TSV, true},
    {"userID\tartistID\tweight\n2\t51\t13883\n", TD_FORMAT_TSV, true},
    {"1::1193::5::978300760\n1::661::3::978302109\n", TD_FORMAT_COLONS, false},
    {"1::Toy Story (1995)::Animation|Children's\n2::Heat, The (1995)::Action|Crime\n",
     TD_FORMAT_COLONS, false},
    {"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/x|0\n"
     "4|Get Shorty (1995)|01-Jan-1995||http://us.imdb.com/y|0\n",
     TD_FORMAT_PIPE, false},
    {"1 2 5\n1 3 4\n2 2 1\n", TD_FORMAT_SPACE, false},
    {"0 0 1 2 3\n1 4 5\n2 6 7 8 9 10 11\n", TD_FORMAT_LISTS, false},
    {"0 1 2 3 4 5\n1 1 2 3 4 5\n", TD_FORMAT_LISTS, false},
    {"0 1\n1\n2 3 4\n3\n", TD_FORMAT_LISTS, false},
    {"alone\nalone too\n", TD_FORMAT_LISTS, false},
    {"one\ntwo\n", TD_FORMAT_CSV, false},
    {"itemId\n1\n2\n", TD_FORMAT_CSV, true},
    {"1,2,3\n4,5\n6,7,8\n9,10,11\n", TD_FORMAT_CSV, false},
    {"", TD_FORMAT_CSV, false},
    {"\n\n", TD_FORMAT_CSV, false},
};

static void formats_and_headers_of_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        const char *text = examples[i].text;
        td_text_format format = td__detect_format(text, strlen(text), true);
        if (format != examples[i].format) fail_msg("format %d of:\n%s", (int)format, text);
        bool header = td__detect_header(td__dialect_of(format), text, strlen(text), true);
        if (header != examples[i].header) fail_msg("header %d of:\n%s", (int)header, text);
    }
}

static void a_cut_sample_is_judged_by_its_whole_lines(void **state)
{
    (void)state;
    const char *text = "1,2,3\n4,5,6\n7,8";
    assert_int_equal(td__detect_format(text, strlen(text), false), TD_FORMAT_CSV);
    const char *long_line = "0 1 2 3 4 5 6 7 8 9 10 11 12";
    assert_int_equal(td__detect_format(long_line, strlen(long_line), false), TD_FORMAT_LISTS);
}

static void usual_names_are_known_however_written(void **state)
{
    (void)state;
    static const char *const queries[] = {"userId", "user_id", "USER ID", "User-Id",
                                          "user_id:token"};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        assert_int_equal(td__column_rank(TD__COLUMN_QUERY, queries[i], strlen(queries[i])), 1);
        assert_int_equal(td__column_rank(TD__COLUMN_CANDIDATE, queries[i], strlen(queries[i])), 0);
    }
    assert_int_not_equal(td__column_rank(TD__COLUMN_CANDIDATE, "movieId", 7), 0);
    assert_int_not_equal(td__column_rank(TD__COLUMN_ITEM, "movieId", 7), 0);
    assert_int_equal(td__column_rank(TD__COLUMN_ITEM, "id", 2), 1);
    assert_int_equal(td__column_rank(TD__COLUMN_CANDIDATE, "id", 2), 0);
    assert_int_equal(td__column_rank(TD__COLUMN_TITLE, "", 0), 0);
    char many[200];
    memset(many, 'u', sizeof many);
    assert_int_equal(td__column_rank(TD__COLUMN_QUERY, many, sizeof many), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_headers_of_examples),
        cmocka_unit_test(a_cut_sample_is_judged_by_its_whole_lines),
        cmocka_unit_test(usual_names_are_known_however_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
