"""Why a network says what it says: heat maps, and the training images that are most like it."""
