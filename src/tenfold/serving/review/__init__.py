"""The review page: a person looks at suspicious labels and says what is to become of them."""
