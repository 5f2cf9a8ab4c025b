"""The pages of the dashboard; Streamlit runs them by path, so nothing imports them."""
