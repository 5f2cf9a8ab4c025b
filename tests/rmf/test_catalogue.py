"""The catalogue: all of the framework's rows, in words that are the product's own and kinds that exist."""

from collections import Counter

from controlplane.rmf.catalogue import WRITTEN_BY_THE_ENGINE, Mode, catalogue, produced


def test_the_framework_has_seventy_two_rows_in_four_functions():
    rows = catalogue().subcategories
    assert len({row.id for row in rows}) == len(rows) == 72
    assert Counter(row.function for row in rows) == {"GOVERN": 19, "MAP": 18, "MEASURE": 22, "MANAGE": 13}
    assert list(dict.fromkeys(row.function for row in rows)) == list(catalogue().functions)
    assert all(row.id.startswith(row.function + " ") for row in rows)


def test_modes_are_split_as_the_evidence_map_says():
    assert Counter(row.mode for row in catalogue().subcategories) == {
        Mode.AUTOMATIC: 4,
        Mode.MIXED: 50,
        Mode.ATTESTED: 18,
    }


def test_every_kind_a_row_asks_for_has_a_meaning_and_every_meaning_is_asked_for():
    asked = {kind for row in catalogue().subcategories for kind in row.evidence}
    assert asked == set(catalogue().vocabulary)


def test_a_row_that_needs_a_person_lists_an_attestation_and_an_automatic_one_does_not():
    for row in catalogue().subcategories:
        assert ("attestation" in row.evidence) == (row.mode is not Mode.AUTOMATIC), row.id
        assert (row.max_age is None) == (row.mode is Mode.ATTESTED), row.id


def test_what_this_installation_records_are_words_of_the_vocabulary_and_never_a_persons_statement():
    assert WRITTEN_BY_THE_ENGINE < produced() < set(catalogue().vocabulary)
    assert "attestation" not in produced()
